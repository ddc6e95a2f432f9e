-- What else might please whoever looks at the event $1: published events of anybody with a show to come. First what at least three
-- of its buyers also booked, most of them first. Then those of the same category or in the same city: first those of both, then
-- those of the category, then those of the city; within these the nearest in time to the event's next show (or its last, when none
-- is to come). Looked for among the 50 that most of its buyers also booked, the 500 shows before and behind that time, and 500 events
-- of the category: in a short programme that is all of it, in a long one the nearest. Reads only.
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
booked AS (
  SELECT p.other_id, p.persons FROM recommend_pairs p
   WHERE p.event_id = $1::uuid AND p.persons >= 3 ORDER BY p.persons DESC, p.other_id LIMIT 50),
candidate AS (
  SELECT b.other_id AS event_id FROM booked b
  UNION
  SELECT n.event_id FROM shows_near((SELECT b.at FROM base b), 500) n
  UNION
  (SELECT e.event_id FROM events e
    WHERE e.search @@ (SELECT event_query('', b.category) FROM base b) AND e.status = 'published' LIMIT 500))
SELECT e.event_id, e.name, e.category, e.description, n.city, n.next_show_at, n.shows, statement_timestamp() AS now
  FROM candidate c
  JOIN events e ON e.event_id = c.event_id
  JOIN base b ON true
  LEFT JOIN booked a ON a.other_id = c.event_id
 CROSS JOIN LATERAL (SELECT b.folded <> '' AND event_fold(e.category) = b.folded AS category) k
 CROSS JOIN LATERAL event_place(e.event_id, statement_timestamp(), '-infinity', 'infinity', '') n
 WHERE e.event_id <> $1::uuid AND e.status = 'published' AND n.shows > 0
   AND (k.category OR event_fold(n.city) = b.city OR a.persons IS NOT NULL)
 ORDER BY a.persons DESC NULLS LAST, k.category DESC, event_fold(n.city) = b.city DESC, abs(extract(epoch FROM n.next_show_at - b.at)), e.event_id
 LIMIT $2::int
