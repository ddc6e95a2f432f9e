-- A new password in place of the one that was checked ($2): of two changes at once the second finds nothing. Locks the user's row.
UPDATE staff_users SET password_hash = $3::text, invitation_hash = '', invitation_ends_at = '-infinity'
 WHERE user_id = $1::uuid AND password_hash = $2::text AND disabled_at IS NULL
