-- A webhook, unless the organiser has $9 already, or the id is there; behind webhooks_lock. Locks nothing else.
INSERT INTO webhook_endpoints (webhook_id, organizer_id, url, description, event_types, state, secret, created_by, request_hash)
SELECT $1::uuid, $2::uuid, $3::text, $4::text, $5::text[], 'enabled', $6::bytea, $7::uuid, $8::bytea
 WHERE (SELECT count(*) FROM webhook_endpoints w WHERE w.organizer_id = $2::uuid AND w.state <> 'deleted') < $9::int
ON CONFLICT DO NOTHING
RETURNING webhook_id
