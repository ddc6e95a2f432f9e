-- A staff token by its hash, when it may still be used; the fourth column: its use is worth noting.
SELECT token_id, organizer_id, scopes, coalesce(last_used_at < statement_timestamp() - interval '10 minutes', true), device, shows
  FROM api_tokens
 WHERE token_hash = $1::bytea AND revoked_at IS NULL AND expires_at > statement_timestamp()
