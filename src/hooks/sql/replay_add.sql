-- A replay, unless one is running or the id is there. Locks nothing.
INSERT INTO webhook_replays (replay_id, webhook_id, from_at, to_at, request_hash)
SELECT $1::uuid, w.webhook_id, $4::timestamptz, $5::timestamptz, $6::bytea
  FROM webhook_endpoints w WHERE w.webhook_id = $2::uuid AND w.organizer_id = $3::uuid AND w.state <> 'deleted'
ON CONFLICT DO NOTHING
RETURNING replay_id
