-- Revokes a token; a second time changes nothing. Only one with no scope that who asks lacks ($3), unless that is a person ($4).
-- Locks its row.
UPDATE api_tokens SET revoked_at = statement_timestamp()
 WHERE token_id = $1::uuid AND organizer_id = $2::uuid AND revoked_at IS NULL AND (scopes <@ $3::text[] OR $4::boolean)
