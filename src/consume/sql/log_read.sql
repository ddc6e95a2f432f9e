-- The next rows of the log behind the positions $1 (one for each partition): at most $2 of each partition, and of these as many as
-- have together at most $5 bytes of events, at least one. events NULL: not asked for, as its topic is none of $3, or as a broker has it
-- and it lies behind the position of its partition in $4: then it is read there. on_broker: of those of the topics only. Reads only.
WITH at AS (
  SELECT p.partition, ($1::bigint[])[p.partition + 1] AS position FROM outbox_partitions p
   WHERE p.position > ($1::bigint[])[p.partition + 1]),
found AS (
  SELECT a.partition, l.position, l.show_id, l.outbox_id, l.topic, l.created_at, l.events,
         l.topic = ANY ($3::text[]) AND l.on_broker AS on_broker,
         l.topic = ANY ($3::text[]) AND (NOT l.on_broker OR l.position <= ($4::bigint[])[a.partition + 1]) AS wanted
    FROM at a CROSS JOIN LATERAL (
      SELECT * FROM outbox_log l WHERE l.partition = a.partition AND l.position > a.position ORDER BY l.position LIMIT $2::int) l),
sized AS (
  SELECT f.*, row_number() OVER w AS place, sum(CASE WHEN f.wanted THEN octet_length(f.events::text) ELSE 0 END) OVER w AS bytes
    FROM found f WINDOW w AS (PARTITION BY f.partition ORDER BY f.position))
SELECT s.partition, s.position, s.outbox_id, s.show_id, s.topic, s.created_at, CASE WHEN s.wanted THEN s.events END AS events,
       s.on_broker
  FROM sized s WHERE s.bytes <= $5::bigint OR s.place = 1
 ORDER BY s.partition, s.position
