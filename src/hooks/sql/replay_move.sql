-- A replay is so far, unless another process has moved it ($2, $3: where it was). The caller rolls back when there is no row.
-- Locks its row.
UPDATE webhook_replays r
   SET partition = $4::int, position = $5::int8, events = r.events + $6::int8
 WHERE r.replay_id = $1::uuid AND r.state = 'running' AND r.partition = $2::int AND r.position = $3::int8
RETURNING r.replay_id
