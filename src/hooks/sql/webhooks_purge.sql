-- Deleted webhooks of which nothing is left.
DELETE FROM webhook_endpoints w
 WHERE w.state = 'deleted' AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.webhook_id = w.webhook_id)
   AND NOT EXISTS (SELECT 1 FROM webhook_replays r WHERE r.webhook_id = w.webhook_id)
