-- A new organiser; no row when there is one of this name.
INSERT INTO organizers (organizer_id, name) VALUES ($1::uuid, $2::text) ON CONFLICT (name) DO NOTHING RETURNING organizer_id
