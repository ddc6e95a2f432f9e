-- Deliveries of a webhook, newest first; $5: of this state, or all when NULL. The first row of a webhook without any says that it
-- is there (its id is NULL). Reads only.
SELECT x.* FROM webhook_endpoints w LEFT JOIN LATERAL (
SELECT d.delivery_id, d.created_at, d.event_id, d.type, d.event_at, d.state, d.attempts, d.next_at, d.last_attempt_at, d.ended_at,
       d.last_status, d.last_error, d.took_ms
  FROM webhook_deliveries d
 WHERE d.webhook_id = w.webhook_id AND (d.created_at, d.delivery_id) < ($3::timestamptz, $4::uuid)
   AND ($5::text IS NULL OR d.state = $5::text)
 ORDER BY d.created_at DESC, d.delivery_id DESC LIMIT $6::int) x ON true
 WHERE w.webhook_id = $1::uuid AND w.organizer_id = $2::uuid AND w.state <> 'deleted'
 ORDER BY x.created_at DESC, x.delivery_id DESC
