-- A staff token by its hash, when it may still be used.
SELECT token_id, organizer_id, scopes FROM api_tokens
 WHERE token_hash = $1::bytea AND revoked_at IS NULL AND expires_at > statement_timestamp()
