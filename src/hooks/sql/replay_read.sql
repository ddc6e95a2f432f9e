-- The next rows ($6) of a partition of the log: those events of the organiser's shows that happened in the time asked for and that
-- the endpoint wants. The last row is of none and says how far that was, and whether there is more. Reads only.
WITH page AS (
  SELECT l.position, l.show_id, l.outbox_id, l.topic, l.events, l.created_at FROM outbox_log l
   WHERE l.partition = $1::int AND l.position > $2::int8 AND l.published_at >= $4::timestamptz
   ORDER BY l.position LIMIT $6::int),
found AS (
  SELECT p.position, e.ord, p.outbox_id || ':' || (e.ord - 1) AS id, p.topic, e.event ->> 'type' AS type, p.show_id, p.created_at, e.event::text AS event
    FROM page p
    JOIN shows s ON s.show_id = p.show_id AND s.organizer_id = (SELECT w.organizer_id FROM webhook_endpoints w WHERE w.webhook_id = $3::uuid)
   CROSS JOIN LATERAL json_array_elements(CASE WHEN json_typeof(p.events) = 'array' THEN p.events ELSE '[]' END)
         WITH ORDINALITY AS e (event, ord)
   WHERE p.created_at >= $4::timestamptz AND p.created_at < $5::timestamptz
     AND (SELECT w.event_types FROM webhook_endpoints w WHERE w.webhook_id = $3::uuid)
         && ARRAY[e.event ->> 'type', split_part(e.event ->> 'type', '.', 1) || '.*', '*'])
SELECT f.id, f.topic, f.type, f.show_id, f.created_at, f.event, f.position, false AS more, f.ord FROM found f
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, coalesce((SELECT max(p.position) FROM page p), $2::int8), (SELECT count(*) FROM page) = $6::int, NULL
 ORDER BY position, ord NULLS LAST
