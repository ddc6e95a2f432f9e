SELECT seq, id, created_us, type, object, request_id, idempotency_key FROM events WHERE id = ?1
