-- What is on, the nearest show first: everything, or by words that many events have. The function says how. Reads only.
SELECT w.event_id, w.name, w.category, w.description, w.city, w.next_show_at, w.shows, w.place_at
  FROM events_walk($1::timestamptz, $2::timestamptz, $3::timestamptz, $4::text, $5::text, $6::timestamptz, $7::uuid, $8::int) w
