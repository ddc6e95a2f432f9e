-- disabled, suspended -> enabled: what is queued goes out at once, as if nothing had failed. Locks its row, then those of its queue.
WITH moved AS (
  UPDATE webhook_endpoints w
     SET state = 'enabled', state_at = statement_timestamp(), suspended_why = '', failures = 0, failing_since = NULL,
         resume_at = '-infinity'
   WHERE w.webhook_id = $1::uuid AND w.state IN ('disabled', 'suspended')
  RETURNING w.webhook_id)
UPDATE webhook_deliveries d SET next_at = statement_timestamp()
  FROM moved m WHERE d.webhook_id = m.webhook_id AND d.state = 'queued' AND d.next_at > statement_timestamp()
