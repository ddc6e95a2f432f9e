-- A bounded bite: it runs on the loop's thread.
DELETE FROM answers WHERE key IN (SELECT key FROM answers WHERE created_us <= ?1 ORDER BY created_us LIMIT 500)
