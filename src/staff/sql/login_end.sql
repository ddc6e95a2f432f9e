-- Ends one login.
DELETE FROM staff_logins WHERE login_id = $1::uuid
