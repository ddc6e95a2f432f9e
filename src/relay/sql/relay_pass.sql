-- Without a broker: what is next of the partitions $2 goes to the log, at most $5 rows of each, in their order, with the next positions.
-- As relay_next and relay_move in one ($1 the process, $3 generations, $4: below these numbers nothing is left). A row that is no
-- array of events goes as well, and is set aside for a person to see. Answers by partition how many rows and events went. Locks the
-- partitions in their order, then the rows.
WITH mine AS MATERIALIZED (
  SELECT p.partition, p.position, n.low FROM unnest($2::int[], $3::bigint[], $4::bigint[]) AS n (partition, generation, low)
    JOIN outbox_partitions p ON p.partition = n.partition AND p.generation = n.generation AND p.holder = $1::text
   ORDER BY p.partition FOR NO KEY UPDATE OF p),
next AS (
  SELECT m.partition, m.position, o.show_id, o.outbox_id
    FROM mine m CROSS JOIN LATERAL (
      SELECT q.show_id, q.outbox_id FROM outbox q
       WHERE outbox_partition(q.show_id) = m.partition AND q.seq >= m.low
       ORDER BY q.seq, q.created_at, q.outbox_id LIMIT $5::int) o),
gone AS (
  DELETE FROM outbox o USING next n WHERE o.show_id = n.show_id AND o.outbox_id = n.outbox_id
  RETURNING n.partition, n.position, o.show_id, o.outbox_id, o.topic, o.events, o.created_at, o.seq),
logged AS (
  INSERT INTO outbox_log (partition, position, show_id, outbox_id, topic, events, created_at, seq)
  SELECT g.partition, g.position + row_number() OVER (PARTITION BY g.partition ORDER BY g.seq, g.created_at, g.outbox_id), g.show_id,
         g.outbox_id, g.topic, g.events, g.created_at, g.seq
    FROM gone g),
parked AS (
  INSERT INTO outbox_parked (show_id, outbox_id, place, partition, seq, topic, aggregate, event, created_at, state, cause, tries)
  SELECT g.show_id, g.outbox_id, -1, g.partition, g.seq, g.topic, 'itself', g.events, g.created_at, 'refused',
         'the row is no array of events', 1
    FROM gone g WHERE json_typeof(g.events) <> 'array'
  ON CONFLICT DO NOTHING)
UPDATE outbox_partitions p SET position = p.position + g.n
  FROM (SELECT g.partition, count(*) AS n, max(g.seq) AS seq,
               sum(CASE json_typeof(g.events) WHEN 'array' THEN json_array_length(g.events) ELSE 0 END) AS events
          FROM gone g GROUP BY g.partition) g
 WHERE p.partition = g.partition
RETURNING p.partition, g.n, g.events::bigint, g.seq
