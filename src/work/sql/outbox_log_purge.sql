-- What is older than $1 and lies outside any day, as nobody had made one; as far as every consumer that is in use has read it. At most $2.
DELETE FROM outbox_log_default l USING (
  SELECT p.ctid FROM outbox_log_default p
   WHERE p.published_at < statement_timestamp() - $1::interval
     AND NOT EXISTS (SELECT 1 FROM consumer_cursors c WHERE c.partition = p.partition AND c.position < p.position
                        AND c.seen_at > statement_timestamp() - greatest($1::interval, interval '1 day'))
   LIMIT $2::int) old
 WHERE l.ctid = old.ctid
