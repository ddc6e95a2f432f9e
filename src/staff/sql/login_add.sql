-- A login, if the password is still the one that was checked.
INSERT INTO staff_logins (login_id, user_id, token_hash, ends_at)
SELECT $1::uuid, u.user_id, $3::bytea, statement_timestamp() + $5::interval FROM staff_users u
 WHERE u.user_id = $2::uuid AND u.password_hash = $4::text AND u.disabled_at IS NULL
RETURNING ends_at
