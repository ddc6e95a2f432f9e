-- A replay, and whether it was asked for by the same body ($4). One row for a webhook that is there. Reads only.
SELECT r.replay_id, r.from_at, r.to_at, r.state, r.events, r.created_at, r.ended_at, r.request_hash = $4::bytea AS same
  FROM webhook_endpoints w LEFT JOIN webhook_replays r ON r.webhook_id = w.webhook_id AND r.replay_id = $3::uuid
 WHERE w.webhook_id = $1::uuid AND w.organizer_id = $2::uuid AND w.state <> 'deleted'
