-- An event of nothing, for an endpoint that is enabled. Locks nothing.
INSERT INTO webhook_deliveries (webhook_id, event_id, delivery_id, type, aggregate, event_at, body)
SELECT w.webhook_id, $3::text, $4::uuid, $5::text, $3::text, statement_timestamp(), $6::text
  FROM webhook_endpoints w WHERE w.webhook_id = $1::uuid AND w.organizer_id = $2::uuid AND w.state = 'enabled'
ON CONFLICT DO NOTHING
RETURNING delivery_id
