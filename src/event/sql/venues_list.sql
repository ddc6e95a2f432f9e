-- The organiser's venues after $2 in the order of ids. Reads only.
SELECT v.venue_id, v.name, v.timezone, v.city, v.address, v.country, v.request_hash
  FROM venues v WHERE v.organizer_id = $1::uuid AND v.venue_id > $2::uuid ORDER BY v.venue_id LIMIT $3::int
