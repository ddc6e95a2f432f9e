-- A plan with its document as it came. Reads only.
SELECT p.plan_id, p.venue_id, p.version, p.seats, p.document::text, p.request_hash, p.organizer_id
  FROM seating_plans p WHERE p.plan_id = $1::uuid
