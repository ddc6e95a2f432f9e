-- The webhooks of an organiser, by id, each with its last replay. Reads only.
SELECT w.webhook_id, w.url, w.description, w.event_types, w.state, w.state_at, w.suspended_why, w.created_at, w.last_success_at,
       w.last_failure_at, w.last_status, w.last_error, w.failing_since,
       (SELECT count(*) FROM webhook_deliveries d WHERE d.webhook_id = w.webhook_id AND d.state = 'queued') AS queued,
       w.dropped, w.dropped_at, w.old_secret_ends_at > statement_timestamp() AS has_old_secret, w.old_secret_ends_at, w.created_by,
       w.request_hash, w.secret, w.rotation_id, p.replay_id, p.from_at, p.to_at, p.state AS replay_state, p.events, p.created_at AS replay_created_at,
       p.ended_at, w.rotation_hash
  FROM webhook_endpoints w
  LEFT JOIN LATERAL (SELECT r.* FROM webhook_replays r WHERE r.webhook_id = w.webhook_id ORDER BY r.created_at DESC LIMIT 1) p ON true
 WHERE w.organizer_id = $1::uuid AND w.webhook_id > $2::uuid AND w.state <> 'deleted'
 ORDER BY w.webhook_id LIMIT $3::int
