-- The keys to publish, oldest first. Reads only.
SELECT k.key_id, k.public_key, k.status = 'active' AS active, k.created_at FROM ticket_keys k ORDER BY k.key_id
