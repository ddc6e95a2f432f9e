-- What became of events that were set aside ($3 shows, $4 ids, $5 places): 'out' ones are forgotten, 'skipped' ones are done with and
-- kept to be seen, 'refused' ones have $7 as their reason and are tried no more; all in partitions ($2 their generations) that this
-- process ($1) still has. Locks those partitions, in their order, then the rows.
WITH mine AS MATERIALIZED (
  SELECT p.partition, p.generation FROM outbox_partitions p WHERE p.holder = $1::text ORDER BY p.partition FOR NO KEY UPDATE),
told AS (
  SELECT r.* FROM unnest($2::bigint[], $3::uuid[], $4::uuid[], $5::int[], $6::text[], $7::text[])
                  AS r (generation, show_id, outbox_id, place, what, cause)
    JOIN mine m ON m.partition = outbox_partition(r.show_id) AND m.generation = r.generation),
gone AS (
  DELETE FROM outbox_parked p USING told t
   WHERE t.what = 'out' AND p.show_id = t.show_id AND p.outbox_id = t.outbox_id AND p.place = t.place)
UPDATE outbox_parked p SET state = t.what, wish = '', cause = CASE t.what WHEN 'refused' THEN t.cause ELSE p.cause END,
       tries = p.tries + CASE t.what WHEN 'refused' THEN 1 ELSE 0 END,
       ended_at = CASE t.what WHEN 'skipped' THEN statement_timestamp() ELSE p.ended_at END
  FROM told t
 WHERE t.what IN ('refused', 'skipped') AND p.show_id = t.show_id AND p.outbox_id = t.outbox_id AND p.place = t.place
