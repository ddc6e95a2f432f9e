-- What is on in a city ($9), the nearest show first, found by its venues. $4 and $5 narrow it to words and a category. The list
-- stands as of $1; $6, $7: where the page before ended. Reads only.
SELECT e.event_id, e.name, e.category, e.description, n.city, n.next_show_at, n.shows, n.place_at
  FROM (SELECT DISTINCT s.event_id FROM venues v JOIN shows s ON s.venue_id = v.venue_id
         WHERE event_fold(v.city) = event_fold($9::text)
           AND s.starts_at > $1::timestamptz AND s.starts_at >= $2::timestamptz AND s.starts_at < $3::timestamptz) c
  JOIN events e ON e.event_id = c.event_id
 CROSS JOIN LATERAL event_place(c.event_id, $1::timestamptz, $2::timestamptz, $3::timestamptz, (SELECT event_fold($9::text))) n
 WHERE e.status = 'published' AND n.shows > 0 AND (n.place_at, e.event_id) > ($6::timestamptz, $7::uuid)
   AND (($4::text = '' AND $5::text = '') OR e.search @@ (SELECT event_query($4::text, $5::text)))
 ORDER BY n.place_at, e.event_id
 LIMIT $8::int
