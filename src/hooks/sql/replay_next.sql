-- A replay to go on with: the one that waits longest, of an endpoint with room for at least $2 of $1 in its queue. Reads only.
SELECT r.replay_id, r.webhook_id, r.from_at, r.to_at, r.partition, r.position
  FROM webhook_replays r JOIN webhook_endpoints w ON w.webhook_id = r.webhook_id
 WHERE r.state = 'running'
   AND w.state <> 'deleted' AND (SELECT count(*) FROM (SELECT 1 FROM webhook_deliveries d
          WHERE d.webhook_id = r.webhook_id AND d.state = 'queued' LIMIT $1::int) q) <= $1::int - $2::int
 ORDER BY r.created_at LIMIT 1
