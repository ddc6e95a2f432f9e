-- Somebody leaves: name, address and password go, the row stays for the audit log. Locks the user's row.
UPDATE staff_users SET erased_at = statement_timestamp(), disabled_at = coalesce(disabled_at, statement_timestamp()), email = '',
       name = '', password_hash = '', invitation_hash = '', invitation_ends_at = '-infinity', request_hash = ''
 WHERE user_id = $1::uuid AND organizer_id = $2::uuid AND erased_at IS NULL AND scopes <@ $3::text[] AND user_id <> $4::uuid
RETURNING user_id
