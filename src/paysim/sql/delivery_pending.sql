-- What waits, the next to go first.
SELECT e.seq, e.id, e.created_us, e.type, e.object, e.request_id, e.idempotency_key, 1, d.attempts, d.due_us
FROM deliveries d JOIN events e ON e.seq = d.event_seq ORDER BY d.due_us, d.event_seq LIMIT 1000
