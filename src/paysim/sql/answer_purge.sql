-- A bounded bite of the oldest: it runs on the loop's thread.
DELETE FROM answers WHERE seq IN (SELECT seq FROM answers ORDER BY seq LIMIT 500) AND created_us <= ?1
