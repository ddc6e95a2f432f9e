-- Of the whole system, by every worker every second: which schema there is, whether sales are open, whether the disk is nearly
-- full. No row of the state is what a restored backup has: closed. Who reports on the disk and has fallen silent is not believed.
SELECT (SELECT max(m.version)::bigint FROM schema_migrations m) AS version,
       coalesce(s.oldest_program, 0)::bigint AS oldest_program, coalesce(s.sales = 'open', false) AS open,
       coalesce(s.reason, 'a backup was restored') AS reason,
       EXISTS (SELECT FROM disk_reports d WHERE d.low AND d.seen_at > statement_timestamp() - interval '5 minutes') AS disk_low
  FROM (SELECT 1) AS one LEFT JOIN system_state s ON s.only_one
