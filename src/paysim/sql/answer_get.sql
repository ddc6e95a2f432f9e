SELECT path, params_hash, status, body, request_id FROM answers WHERE key = ?1 AND created_us > ?2
