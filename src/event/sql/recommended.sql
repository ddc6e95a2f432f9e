-- What else might please whoever looks at the event $1: published events of anybody with a show to come, of the same category
-- or in the same city; first those of both, then those of the category, then those of the city; within these the nearest in
-- time to the event's next show (or its last, when none is to come). Looked for among the 500 shows before and behind that
-- time, and 500 events of the category: in a short programme that is all of it, in a long one the nearest. Reads only.
WITH base AS (
  SELECT e.category, event_fold(e.category) AS folded, coalesce(f.starts_at, l.starts_at, statement_timestamp()) AS at,
         event_fold(coalesce(f.city, l.city, '')) AS city
    FROM events e
    LEFT JOIN LATERAL (
      SELECT s.starts_at, v.city FROM shows s JOIN venues v ON v.venue_id = s.venue_id
       WHERE s.event_id = e.event_id AND s.starts_at > statement_timestamp() ORDER BY s.starts_at LIMIT 1) f ON true
    LEFT JOIN LATERAL (
      SELECT s.starts_at, v.city FROM shows s JOIN venues v ON v.venue_id = s.venue_id
       WHERE s.event_id = e.event_id ORDER BY s.starts_at DESC LIMIT 1) l ON true
   WHERE e.event_id = $1::uuid),
candidate AS (
  SELECT n.event_id FROM shows_near((SELECT b.at FROM base b), 500) n
  UNION
  (SELECT e.event_id FROM events e
    WHERE e.search @@ (SELECT event_query('', b.category) FROM base b) AND e.status = 'published' LIMIT 500))
SELECT e.event_id, e.name, e.category, e.description, n.city, n.next_show_at, n.shows, statement_timestamp() AS now
  FROM candidate c
  JOIN events e ON e.event_id = c.event_id
  JOIN base b ON true
 CROSS JOIN LATERAL (SELECT b.folded <> '' AND event_fold(e.category) = b.folded AS category) k
 CROSS JOIN LATERAL event_place(e.event_id, statement_timestamp(), '-infinity', 'infinity', '') n
 WHERE e.event_id <> $1::uuid AND e.status = 'published' AND n.shows > 0
   AND (k.category OR event_fold(n.city) = b.city)
 ORDER BY k.category DESC, event_fold(n.city) = b.city DESC, abs(extract(epoch FROM n.next_show_at - b.at)), e.event_id
 LIMIT $2::int
