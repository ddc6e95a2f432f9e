-- Events by words and category, the nearest show first, found by the index of their words. `matched` is how many there are,
-- however few have a show in the time and the city; when it is more than $10 no page is made, because another way is quicker.
-- The list stands as of $1; $6, $7: where the page before ended. One row at least. Reads only.
WITH found AS MATERIALIZED (
  SELECT e.event_id, e.name, e.category, e.description FROM events e
   WHERE e.search @@ (SELECT event_query($4::text, $5::text)) AND e.status = 'published'
   LIMIT $10::int + 1)
SELECT p.event_id, p.name, p.category, p.description, p.city, p.next_show_at, p.shows, p.place_at, c.matched
  FROM (SELECT count(*)::int AS matched FROM found) c
  LEFT JOIN LATERAL (
    SELECT f.event_id, f.name, f.category, f.description, n.city, n.next_show_at, n.shows, n.place_at
      FROM found f
     CROSS JOIN LATERAL event_place(f.event_id, $1::timestamptz, $2::timestamptz, $3::timestamptz,
                                    (SELECT event_fold($9::text))) n
     WHERE c.matched <= $10::int AND n.shows > 0 AND (n.place_at, f.event_id) > ($6::timestamptz, $7::uuid)
     ORDER BY n.place_at, f.event_id
     LIMIT $8::int) p ON true
