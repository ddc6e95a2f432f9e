-- A delivery with the event that is sent. Reads only.
SELECT d.delivery_id, d.created_at, d.event_id, d.type, d.event_at, d.state, d.attempts, d.next_at, d.last_attempt_at, d.ended_at,
       d.last_status, d.last_error, d.took_ms, d.body
  FROM webhook_deliveries d JOIN webhook_endpoints w ON w.webhook_id = d.webhook_id
 WHERE d.webhook_id = $1::uuid AND d.delivery_id = $2::uuid AND w.organizer_id = $3::uuid AND w.state <> 'deleted'
