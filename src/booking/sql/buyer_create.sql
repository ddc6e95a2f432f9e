-- A buyer's name and address: they stand here and nowhere else.
INSERT INTO buyers (buyer_id, organizer_id, name, email, email_hash, locale)
VALUES ($1::uuid, $2::uuid, $3::text, $4::text, $5::bytea, $6::text)
