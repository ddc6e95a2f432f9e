-- Of the whole system, by every worker every second: which schema there is, and whether sales are open. No row of the state is
-- what a restored backup has: closed.
SELECT (SELECT max(m.version)::bigint FROM schema_migrations m) AS version,
       coalesce(s.oldest_program, 0)::bigint AS oldest_program, coalesce(s.sales = 'open', false) AS open,
       coalesce(s.reason, 'a backup was restored') AS reason
  FROM (SELECT 1) AS one LEFT JOIN system_state s ON s.only_one
