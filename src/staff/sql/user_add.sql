-- Somebody new, with an invitation. No row: the id or the address is there already.
INSERT INTO staff_users (user_id, organizer_id, email, name, scopes, invitation_hash, invitation_ends_at, request_hash)
VALUES ($1::uuid, $2::uuid, $3::text, $4::text, $5::text[], $6::bytea, statement_timestamp() + $7::interval, $8::bytea)
ON CONFLICT DO NOTHING
RETURNING user_id
