-- What is set aside in the partitions $1, in the order in which it would have gone out, at most $2. Reads only.
SELECT p.show_id, p.outbox_id, p.place, p.topic, p.event, p.created_at, p.seq, p.state, p.wish
  FROM outbox_parked p WHERE p.partition = ANY ($1::int[]) AND p.state <> 'skipped'
 ORDER BY p.seq, p.created_at, p.outbox_id, p.place LIMIT $2::int
