-- Rows ($4 shows, $5 ids) of which a broker has everything go to the log, in their order, with the next positions of their partitions.
-- Only of partitions ($2) that this process ($1) still has, in the generation ($3) in which it took the rows up: who slept through the
-- end of a lease moves nothing. Answers how many rows went, by partition. Locks the partitions in their order, then the rows.
WITH mine AS MATERIALIZED (
  SELECT p.partition, p.position FROM outbox_partitions p
   WHERE p.partition = ANY ($2::int[]) AND p.holder = $1::text
     AND p.generation = ($3::bigint[])[array_position($2::int[], p.partition)]
   ORDER BY p.partition FOR NO KEY UPDATE),
gone AS (
  DELETE FROM outbox o USING unnest($4::uuid[], $5::uuid[]) WITH ORDINALITY AS r (show_id, outbox_id, i), mine m
   WHERE o.show_id = r.show_id AND o.outbox_id = r.outbox_id AND m.partition = outbox_partition(r.show_id)
  RETURNING m.partition, m.position, r.i, o.show_id, o.outbox_id, o.topic, o.events, o.created_at, o.seq),
logged AS (
  INSERT INTO outbox_log (partition, position, show_id, outbox_id, topic, events, created_at, seq, on_broker)
  SELECT g.partition, g.position + row_number() OVER (PARTITION BY g.partition ORDER BY g.i), g.show_id, g.outbox_id, g.topic,
         g.events, g.created_at, g.seq, true
    FROM gone g)
UPDATE outbox_partitions p SET position = p.position + g.n
  FROM (SELECT g.partition, count(*) AS n FROM gone g GROUP BY g.partition) g
 WHERE p.partition = g.partition
RETURNING p.partition, g.n
