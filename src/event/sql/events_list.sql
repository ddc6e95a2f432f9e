-- Published events with a show still to come, the next one first; the cursor is (next show, event id). Empty filters match
-- all. Reads only.
SELECT e.event_id, e.name, e.category, e.description, n.city, n.starts_at AS next_show_at, n.shows
  FROM events e
  JOIN LATERAL (
    SELECT min(s.starts_at) AS starts_at, (array_agg(v.city ORDER BY s.starts_at))[1] AS city, count(*)::int AS shows
      FROM shows s JOIN venues v ON v.venue_id = s.venue_id
     WHERE s.event_id = e.event_id AND s.status = 'published' AND s.starts_at > statement_timestamp()
       AND s.starts_at >= $2::timestamptz AND s.starts_at < $3::timestamptz
       AND ($5::text = '' OR lower(v.city) = lower($5::text))) n ON n.starts_at IS NOT NULL
 WHERE e.status = 'published'
   AND ($1::text = '' OR e.name ILIKE '%' || replace(replace(replace($1::text, '\', '\\'), '%', '\%'), '_', '\_') || '%')
   AND ($4::text = '' OR lower(e.category) = lower($4::text))
   AND (n.starts_at, e.event_id) > ($6::timestamptz, $7::uuid)
 ORDER BY n.starts_at, e.event_id
 LIMIT $8::int
