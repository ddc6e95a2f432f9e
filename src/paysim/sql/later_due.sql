-- The next ?2 that are due at ?1.
SELECT seq, kind, subject FROM later WHERE due_us <= ?1 ORDER BY due_us, seq LIMIT ?2
