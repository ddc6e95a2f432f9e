-- The first signing key, when there is none: several workers start at once and one of them makes it. Whoever comes second
-- waits for the first's commit and then inserts nothing. Afterwards exactly one key is active.
INSERT INTO ticket_keys (key_id, public_key, sealed_secret, status)
SELECT coalesce((SELECT max(k.key_id) FROM ticket_keys k), 0) + 1, $1::bytea, $2::bytea, 'active'
 WHERE NOT EXISTS (SELECT 1 FROM ticket_keys k WHERE k.status = 'active')
ON CONFLICT DO NOTHING
