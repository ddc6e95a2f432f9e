-- The shows of an event in their order, after the cursor (starts_at, show id). $2: the organiser who also sees drafts.
-- Reads only.
SELECT s.show_id, CASE WHEN e.status = 'draft' THEN 'draft' ELSE s.status END, s.starts_at, s.timezone,
       s.sale_starts_at, s.sale_ends_at, s.capacity, v.name, v.city, v.venue_id, s.event_id
  FROM shows s JOIN venues v ON v.venue_id = s.venue_id JOIN events e ON e.event_id = s.event_id
 WHERE s.event_id = $1::uuid AND (s.status <> 'draft' OR s.organizer_id = $2::uuid)
   AND (s.starts_at, s.show_id) > ($3::timestamptz, $4::uuid)
 ORDER BY s.starts_at, s.show_id
 LIMIT $5::int
