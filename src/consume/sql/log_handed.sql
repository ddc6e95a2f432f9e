-- How far the log is, by partition, once nothing waits any more of what waited at the marks $1; NULL before. Reads only.
SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM unnest($1::bigint[]) WITH ORDINALITY AS m (seq, i)
                             CROSS JOIN LATERAL (SELECT 1 FROM outbox o
                                                  WHERE outbox_partition(o.show_id) = m.i::int - 1 AND o.seq <= m.seq LIMIT 1) o
                              WHERE m.seq >= 0)
            THEN ARRAY(SELECT p.position FROM outbox_partitions p ORDER BY p.partition) END AS positions
