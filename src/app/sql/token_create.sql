-- A staff token of the organiser $2 by name; only its hash is kept. No row when there is no such organiser.
INSERT INTO api_tokens (token_id, organizer_id, name, token_hash, scopes, expires_at)
SELECT $1::uuid, o.organizer_id, $3::text, decode($4::text, 'hex'), $5::text[], $6::timestamptz
  FROM organizers o WHERE o.name = $2::text
RETURNING token_id
