-- Guarded by the status it was read with (?5).
UPDATE refunds SET status = ?2, failure_reason = ?3, metadata = ?4 WHERE id = ?1 AND status = ?5
