-- Ends the logins of a user, but not $2.
DELETE FROM staff_logins WHERE user_id = $1::uuid AND login_id <> $2::uuid
