-- Events so old that the gateway delivers them no more (it gives up after three days), some at a time, as they lie in the table.
DELETE FROM webhook_events w USING (
  SELECT e.gateway_event_id FROM webhook_events e WHERE e.received_at < statement_timestamp() - interval '30 days' LIMIT 5000) old
 WHERE w.gateway_event_id = old.gateway_event_id
