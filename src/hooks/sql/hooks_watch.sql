-- How it goes: endpoints by state, what is queued, and how late the oldest event is that nothing stands in the way of: its
-- endpoint is enabled and does not fail. Reads only.
SELECT (SELECT count(*) FROM webhook_endpoints w WHERE w.state = 'enabled' AND w.failing_since IS NULL) AS fine,
       (SELECT count(*) FROM webhook_endpoints w WHERE w.state = 'enabled' AND w.failing_since IS NOT NULL) AS failing,
       (SELECT count(*) FROM webhook_endpoints w WHERE w.state = 'disabled') AS disabled,
       (SELECT count(*) FROM webhook_endpoints w WHERE w.state = 'suspended') AS suspended,
       (SELECT count(*) FROM webhook_deliveries d WHERE d.state = 'queued') AS queued,
       (SELECT coalesce(max((extract(epoch FROM statement_timestamp() - (
                 SELECT d.next_at FROM webhook_deliveries d WHERE d.webhook_id = w.webhook_id AND d.state = 'queued'
                  ORDER BY d.next_at LIMIT 1)) * 1000000)::int8), 0)
          FROM webhook_endpoints w WHERE w.state = 'enabled' AND w.failing_since IS NULL) AS late_us
