-- The versions of a plan of the organiser's venue, the newest first, before version $3; one row of NULLs when there is none,
-- none when there is no such venue. Without the documents. Reads only.
SELECT p.plan_id, p.venue_id, p.version, p.seats, p.name, p.categories, p.created_at
  FROM venues v
  LEFT JOIN LATERAL (
    SELECT s.plan_id, s.venue_id, s.version, s.seats, s.name, s.categories, s.created_at FROM seating_plans s
     WHERE s.venue_id = v.venue_id AND s.version < $3::int ORDER BY s.version DESC LIMIT $4::int) p ON true
 WHERE v.venue_id = $1::uuid AND v.organizer_id = $2::uuid
 ORDER BY p.version DESC
