-- Deliveries of webhooks that were deleted, some at a time.
DELETE FROM webhook_deliveries d USING (
  SELECT p.webhook_id, p.event_id FROM webhook_endpoints w JOIN webhook_deliveries p ON p.webhook_id = w.webhook_id
   WHERE w.state = 'deleted' LIMIT $1::int) old
 WHERE d.webhook_id = old.webhook_id AND d.event_id = old.event_id
