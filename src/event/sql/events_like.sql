-- Events whose names are like what was typed ($4), for when no event has these words; category and city as ever, the nearest
-- show first. The list stands as of $1; $6, $7: where the page before ended. Reads only.
SELECT e.event_id, e.name, e.category, e.description, n.city, n.next_show_at, n.shows, n.place_at
  FROM events_like($4::text, $5::text) AS l (event_id)
  JOIN events e ON e.event_id = l.event_id
 CROSS JOIN LATERAL event_place(l.event_id, $1::timestamptz, $2::timestamptz, $3::timestamptz, (SELECT event_fold($9::text))) n
 WHERE n.shows > 0 AND (n.place_at, e.event_id) > ($6::timestamptz, $7::uuid)
 ORDER BY n.place_at, e.event_id
 LIMIT $8::int
