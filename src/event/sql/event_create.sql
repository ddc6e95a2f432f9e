-- An event; nothing when the id is there already.
INSERT INTO events (event_id, organizer_id, name, category, description, status, max_per_payer, request_hash, language)
VALUES ($1::uuid, $2::uuid, $3::text, $4::text, $5::text, $6::text, $7::int, $8::bytea, $9::text)
ON CONFLICT DO NOTHING
