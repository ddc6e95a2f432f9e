-- Replaces an answer that had expired but was not purged yet.
INSERT OR REPLACE INTO answers (key, created_us, path, params_hash, status, body, request_id)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
