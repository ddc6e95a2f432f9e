-- queued -> delivered, whichever attempt it was; the endpoint is well again. Locks the delivery's row, then the endpoint's.
WITH moved AS (
  UPDATE webhook_deliveries d
     SET state = 'delivered', ended_at = statement_timestamp(), last_status = $3::int, last_error = '', took_ms = $4::int
   WHERE d.webhook_id = $1::uuid AND d.event_id = $2::text AND d.state = 'queued'
  RETURNING d.webhook_id)
UPDATE webhook_endpoints w
   SET failures = 0, failing_since = NULL, resume_at = '-infinity', last_success_at = statement_timestamp(),
       last_status = $3::int, last_error = ''
  FROM moved m WHERE w.webhook_id = m.webhook_id
