-- The one use of an invitation: sets the password. Locks the user's row.
UPDATE staff_users SET password_hash = $2::text, invitation_hash = '', invitation_ends_at = '-infinity'
 WHERE invitation_hash = $1::bytea AND invitation_hash <> '' AND invitation_ends_at > statement_timestamp() AND disabled_at IS NULL
RETURNING user_id, organizer_id
