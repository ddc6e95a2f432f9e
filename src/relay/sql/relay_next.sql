-- What is next of the partitions $1: at most $3 rows of each, $4 in all, a partition's rows together and in their order. What is left
-- out of a partition is later than all that is taken, so no event is taken before an earlier one of its aggregate. $2: below these
-- numbers nothing is left in the partitions. Reads only.
SELECT n.partition, o.show_id, o.outbox_id, o.topic, o.events, o.created_at, o.seq
  FROM unnest($1::int[], $2::bigint[]) AS n (partition, low)
 CROSS JOIN LATERAL (
   SELECT q.show_id, q.outbox_id, q.topic, q.events, q.created_at, q.seq FROM outbox q
    WHERE outbox_partition(q.show_id) = n.partition AND q.seq >= n.low
    ORDER BY q.seq, q.created_at, q.outbox_id LIMIT $3::int) o
 LIMIT $4::int
