INSERT INTO events (id, created_us, type, object, request_id, idempotency_key) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
