-- Another invitation: the password so far ends with it, and so do the logins. Not for somebody with scopes that who asks lacks
-- ($5), nor for oneself ($6). Locks the user's row.
UPDATE staff_users SET invitation_hash = $3::bytea, invitation_ends_at = statement_timestamp() + $4::interval, password_hash = ''
 WHERE user_id = $1::uuid AND organizer_id = $2::uuid AND erased_at IS NULL AND scopes <@ $5::text[] AND user_id <> $6::uuid
RETURNING user_id, invitation_ends_at
