-- Counts of yesterday and before, some at a time.
DELETE FROM request_counts c USING (
  SELECT p.what, p.who, p.since FROM request_counts p
   WHERE p.since < statement_timestamp() - interval '1 day' ORDER BY p.since LIMIT $1::int) old
 WHERE c.what = old.what AND c.who = old.who AND c.since = old.since
