-- I5: what is out is what was written, in order: positions without gaps, no row in both tables, no version behind a later one of its
-- aggregate, nothing waits longer than a quarter of an hour ($1 more), nothing is set aside. Of whole partitions no show is named.
WITH positions AS (
  SELECT l.partition, l.position, lag(l.position) OVER (PARTITION BY l.partition ORDER BY l.position) AS before FROM outbox_log l),
events AS (
  SELECT l.show_id, l.position, l.topic, e.place, e.j
    FROM outbox_log l
   CROSS JOIN LATERAL json_array_elements(CASE json_typeof(l.events) WHEN 'array' THEN l.events ELSE '[]' END)
         WITH ORDINALITY AS e (j, place)
   WHERE json_typeof(e.j) = 'object'),
versions AS (
  SELECT e.show_id, e.position, e.place, e.topic || ' ' || CASE e.topic WHEN 'booking' THEN e.j ->> 'booking_id'
           WHEN 'payment' THEN coalesce(e.j ->> 'refund_id', e.j ->> 'payment_id')
           WHEN 'ticket' THEN e.j ->> 'ticket_id' ELSE e.show_id::text END AS aggregate, (e.j ->> 'version')::bigint AS version
    FROM events e WHERE e.topic <> 'seat' AND e.j ->> 'version' ~ '^[0-9]{1,18}$'
  UNION ALL
  SELECT e.show_id, e.position, e.place, 'seat ' || s.key, s.value::bigint
    FROM events e
   CROSS JOIN LATERAL json_each_text(CASE json_typeof(e.j -> 'seats') WHEN 'object' THEN e.j -> 'seats' ELSE '{}' END) AS s
   WHERE e.topic = 'seat' AND s.value ~ '^[0-9]{1,18}$'),
ordered AS (
  SELECT v.*, max(v.version) OVER (PARTITION BY v.show_id, v.aggregate ORDER BY v.position, v.place
                                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM versions v)
SELECT NULL::uuid AS show_id, 'partition ' || p.partition || ' of the log has position ' || p.position || ' after ' || p.before AS fault
  FROM positions p WHERE p.before <> p.position - 1
UNION ALL
SELECT NULL, 'partition ' || p.partition || ' of the log ends at ' || l.position || ', but ' || p.position || ' was given out'
  FROM outbox_partitions p JOIN (SELECT l.partition, max(l.position) AS position FROM outbox_log l GROUP BY l.partition) l USING (partition)
 WHERE l.position <> p.position
UNION ALL
SELECT o.show_id, 'the row ' || o.outbox_id || ' is out and waits to go out'
  FROM outbox o JOIN outbox_log l ON l.partition = outbox_partition(o.show_id) AND l.outbox_id = o.outbox_id
UNION ALL
SELECT o.show_id, o.aggregate || ': version ' || o.version || ' is told after ' || o.before
  FROM ordered o WHERE o.version < o.before
UNION ALL
SELECT NULL, count(*) || ' rows of partition ' || outbox_partition(o.show_id) || ' wait to go out, the oldest since '
       || date_trunc('second', min(o.created_at))
  FROM outbox o WHERE o.created_at < transaction_timestamp() - interval '15 minutes' - $1::interval GROUP BY outbox_partition(o.show_id)
UNION ALL
SELECT p.show_id, 'event ' || p.outbox_id || ':' || p.place || ' (' || p.aggregate || ') is set aside since '
       || date_trunc('second', p.parked_at) || ': ' || p.cause
  FROM outbox_parked p WHERE p.state <> 'skipped'
 ORDER BY 1, 2
