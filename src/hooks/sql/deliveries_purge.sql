-- Deliveries that are kept long enough ($1), whatever became of them, some at a time.
DELETE FROM webhook_deliveries d USING (
  SELECT p.webhook_id, p.event_id FROM webhook_deliveries p WHERE p.created_at < statement_timestamp() - $1::interval LIMIT $2::int) old
 WHERE d.webhook_id = old.webhook_id AND d.event_id = old.event_id
