-- The next ?2 that are due at ?1.
SELECT e.seq, e.id, e.created_us, e.type, e.object, e.request_id, e.idempotency_key, 1, d.attempts
FROM deliveries d JOIN events e ON e.seq = d.event_seq
WHERE d.due_us <= ?1 ORDER BY d.due_us, d.event_seq LIMIT ?2
