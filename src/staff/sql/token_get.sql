-- One token of an organiser.
SELECT token_id, name, scopes, created_at, expires_at, last_used_at, created_by, request_hash, revoked_at IS NOT NULL, device, shows
  FROM api_tokens WHERE token_id = $1::uuid AND organizer_id = $2::uuid
