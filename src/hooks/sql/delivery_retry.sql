-- It stays queued and is tried again after $4, unless it was taken over meanwhile (another attempt). Locks its row.
UPDATE webhook_deliveries d
   SET next_at = statement_timestamp() + $4::interval, last_status = $5::int, last_error = $6::text, took_ms = $7::int
 WHERE d.webhook_id = $1::uuid AND d.event_id = $2::text AND d.state = 'queued' AND d.attempts = $3::int
