-- An API token; only its hash is kept. No row: the id is there already.
INSERT INTO api_tokens (token_id, organizer_id, name, token_hash, scopes, expires_at, created_by, request_hash)
VALUES ($1::uuid, $2::uuid, $3::text, $4::bytea, $5::text[], $6::timestamptz, $7::uuid, $8::bytea)
ON CONFLICT DO NOTHING
RETURNING token_id
