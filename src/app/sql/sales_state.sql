-- Whether sales are open, since when and why; restored_to: when the backup that was restored was made, '' when none waits for its
-- end. No row of the state is a restored backup too.
SELECT coalesce(s.sales, 'closed'), coalesce(to_char(s.since, 'YYYY-MM-DD HH24:MI:SS'), ''), coalesce(s.reason, 'a backup was restored'),
       CASE WHEN s.only_one IS NULL THEN '-infinity' ELSE coalesce(s.restored_to::text, '') END,
       coalesce(extract(epoch FROM s.restored_to)::bigint, 0)
  FROM (SELECT 1) AS one LEFT JOIN system_state s ON s.only_one
