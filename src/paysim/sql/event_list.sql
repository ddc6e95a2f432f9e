-- As intent_list; ?5: of this type (or "charge.*"), NULL: of any.
SELECT seq, id, created_us, type, object, request_id, idempotency_key,
	(SELECT count(*) FROM deliveries d WHERE d.event_seq = events.seq)
FROM events WHERE seq < ?1 AND created_us >= ?2 AND created_us < ?3 AND (?5 IS NULL OR type GLOB ?5)
ORDER BY seq DESC LIMIT ?4
