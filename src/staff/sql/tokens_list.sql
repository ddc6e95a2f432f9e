-- The tokens of an organiser that were not revoked, by id.
SELECT token_id, name, scopes, created_at, expires_at, last_used_at, created_by, request_hash, false, device, shows
  FROM api_tokens WHERE organizer_id = $1::uuid AND token_id > $2::uuid AND revoked_at IS NULL
 ORDER BY token_id LIMIT $3::int
