-- A consumer has done what lies between $3 and $4 of the partitions $2. Only cursors that are where it left them move: one that is not
-- was put elsewhere, or moved by another process. How many moved. Locks these cursors, in the order of the partitions.
WITH mine AS (
  SELECT k.partition, n.til FROM unnest($2::int[], $3::bigint[], $4::bigint[]) AS n (partition, since, til)
    JOIN consumer_cursors k ON k.consumer = $1::text AND k.partition = n.partition AND k.position = n.since
   ORDER BY k.partition FOR UPDATE OF k)
UPDATE consumer_cursors k SET position = m.til, seen_at = statement_timestamp()
  FROM mine m WHERE k.consumer = $1::text AND k.partition = m.partition
