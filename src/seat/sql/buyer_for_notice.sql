-- Somebody who wants to be told about a lock; name unknown yet.
INSERT INTO buyers (buyer_id, organizer_id, name, email, email_hash, locale)
VALUES ($1::uuid, $2::uuid, '', $3::text, $4::bytea, $5::text)
