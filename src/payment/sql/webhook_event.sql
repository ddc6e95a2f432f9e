-- The gateway tells something. Its own id is the key: a second delivery is counted and changes nothing. Locks the event's row,
-- so that whoever delivers it at the same time waits until what it sets in motion is committed.
INSERT INTO webhook_events AS w (gateway_event_id, type, object_id, intent_id, created_at)
VALUES ($1::text, $2::text, $3::text, $4::text, $5::timestamptz)
ON CONFLICT (gateway_event_id) DO UPDATE SET deliveries = w.deliveries + 1
RETURNING w.deliveries
