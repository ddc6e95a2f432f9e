-- An API token; only its hash is kept. $9 the device it is of ('': none), $10 the shows whose doors it opens (none: all). No row: the id
-- is there already, or one of the shows is not the organiser's.
INSERT INTO api_tokens (token_id, organizer_id, name, token_hash, scopes, expires_at, created_by, request_hash, device, shows)
SELECT $1::uuid, $2::uuid, $3::text, $4::bytea, $5::text[], $6::timestamptz, $7::uuid, $8::bytea, $9::text, $10::uuid[]
 WHERE NOT EXISTS (SELECT 1 FROM unnest($10::uuid[]) AS a (show_id)
                    WHERE NOT EXISTS (SELECT 1 FROM shows s WHERE s.show_id = a.show_id AND s.organizer_id = $2::uuid))
ON CONFLICT DO NOTHING
RETURNING token_id
