-- A venue of an organiser. Reads only.
SELECT v.venue_id, v.name, v.timezone, v.city, v.address, v.country, v.request_hash,
       v.xmin::text::bigint AS revision
  FROM venues v WHERE v.venue_id = $1::uuid AND v.organizer_id = $2::uuid
