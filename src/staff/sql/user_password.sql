-- What a change of the own password is compared with.
SELECT password_hash, email FROM staff_users WHERE user_id = $1::uuid AND disabled_at IS NULL
