-- A consumer says that it is there and how it is: $2 failures one after the other, $3 what was last said; and hears: has somebody put
-- it elsewhere, what is parked, how far the log is, since when the oldest waits that is behind its cursor. Locks its row, and its
-- cursors once a minute (whose age says to retention that they are in use).
WITH me AS (
  UPDATE consumers c SET seen_at = statement_timestamp(), failures = $2::int, trouble = $3::text
   WHERE c.consumer = $1::text RETURNING c.generation),
touched AS (
  UPDATE consumer_cursors k SET seen_at = statement_timestamp()
   WHERE k.consumer = $1::text AND k.seen_at < statement_timestamp() - interval '1 minute')
SELECT m.generation,
       (SELECT count(*) FROM consumer_parked q WHERE q.consumer = $1::text) AS parked,
       EXISTS (SELECT 1 FROM consumer_parked q WHERE q.consumer = $1::text AND q.wish <> '') AS wished,
       ARRAY(SELECT p.position FROM outbox_partitions p ORDER BY p.partition) AS positions,
       coalesce((SELECT extract(epoch FROM statement_timestamp() - min(l.created_at)) * 1000000
          FROM outbox_partitions p JOIN consumer_cursors k ON k.consumer = $1::text AND k.partition = p.partition AND k.position < p.position
         CROSS JOIN LATERAL (SELECT l.created_at FROM outbox_log l WHERE l.partition = k.partition AND l.position > k.position
                              ORDER BY l.position LIMIT 1) l), 0)::bigint AS oldest_us
  FROM me m
