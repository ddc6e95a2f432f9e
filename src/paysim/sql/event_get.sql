SELECT seq, id, created_us, type, object, request_id, idempotency_key,
	(SELECT count(*) FROM deliveries d WHERE d.event_seq = events.seq)
FROM events WHERE id = ?1
