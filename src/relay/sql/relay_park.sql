-- Events that are set aside, in the transaction that moves their rows ($1 the process; relay_move has locked the partitions, and here
-- only those count that are still its own in the generation, $2, of each event's partition). Locks nothing else.
INSERT INTO outbox_parked (show_id, outbox_id, place, partition, seq, topic, aggregate, event, created_at, state, cause, tries)
SELECT e.show_id, e.outbox_id, e.place, outbox_partition(e.show_id), e.seq, e.topic, e.aggregate, e.event::json, e.created_at, e.state,
       e.cause, CASE e.state WHEN 'refused' THEN 1 ELSE 0 END
  FROM unnest($2::bigint[], $3::uuid[], $4::uuid[], $5::int[], $6::bigint[], $7::text[], $8::text[], $9::text[], $10::bigint[], $11::text[],
              $12::text[]) AS r (generation, show_id, outbox_id, place, seq, topic, aggregate, event, created_us, state, cause)
 CROSS JOIN LATERAL (SELECT r.*, 'epoch'::timestamptz + r.created_us * interval '1 microsecond' AS created_at) e
 WHERE EXISTS (SELECT 1 FROM outbox_partitions p
                WHERE p.partition = outbox_partition(e.show_id) AND p.holder = $1::text AND p.generation = e.generation)
ON CONFLICT DO NOTHING
