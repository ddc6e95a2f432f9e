-- queued -> failed: given up, unless it was taken over meanwhile. Locks its row.
UPDATE webhook_deliveries d
   SET state = 'failed', ended_at = statement_timestamp(), last_status = $4::int, last_error = $5::text, took_ms = $6::int
 WHERE d.webhook_id = $1::uuid AND d.event_id = $2::text AND d.state = 'queued' AND d.attempts = $3::int
