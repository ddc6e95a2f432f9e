-- Revokes a token; a second time changes nothing. Locks its row.
UPDATE api_tokens SET revoked_at = statement_timestamp()
 WHERE token_id = $1::uuid AND organizer_id = $2::uuid AND revoked_at IS NULL
