-- How things stand, for the partitions $1 of a relay and those that nobody has: for how long the oldest waits that is not out, what is
-- set aside, whether somebody wants some of it tried again or skipped. $2: below these numbers nothing is left in the partitions. And
-- how far the numbers are given out, and which transactions may still have some that nobody sees. Reads only.
SELECT coalesce((SELECT extract(epoch FROM statement_timestamp() - min(o.created_at)) * 1000000
          FROM (SELECT n.partition, n.low FROM unnest($1::int[], $2::bigint[]) AS n (partition, low)
                UNION ALL
                SELECT p.partition, 0 FROM outbox_partitions p
                 WHERE p.until <= statement_timestamp() AND p.partition <> ALL ($1::int[])) n
         CROSS JOIN LATERAL (SELECT q.created_at FROM outbox q
                              WHERE outbox_partition(q.show_id) = n.partition AND q.seq >= n.low
                              ORDER BY q.seq LIMIT 1) o), 0)::bigint AS oldest_us,
       (SELECT count(*) FROM outbox_parked p WHERE p.state <> 'skipped') AS parked,
       EXISTS (SELECT 1 FROM outbox_parked p WHERE p.wish <> '' AND p.partition = ANY ($1::int[])) AS wished,
       (SELECT CASE WHEN s.is_called THEN s.last_value ELSE s.last_value - 1 END FROM outbox_seq s) AS given,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest_running,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_to_come
