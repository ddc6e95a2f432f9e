-- A few rows whose time is over go with every login: nobody has to come by for it.
WITH logins AS (
  DELETE FROM staff_logins WHERE login_id IN (
    SELECT login_id FROM staff_logins WHERE ends_at < statement_timestamp() ORDER BY ends_at LIMIT 20 FOR UPDATE SKIP LOCKED))
DELETE FROM staff_tries WHERE key IN (
  SELECT key FROM staff_tries WHERE ends_at < statement_timestamp() ORDER BY ends_at LIMIT 20 FOR UPDATE SKIP LOCKED)
