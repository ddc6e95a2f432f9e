-- A venue; nothing when the id is there already (a repeated request).
INSERT INTO venues (venue_id, organizer_id, name, timezone, city, address, country, request_hash)
VALUES ($1::uuid, $2::uuid, $3::text, $4::text, $5::text, $6::text, $7::text, $8::bytea)
ON CONFLICT DO NOTHING
