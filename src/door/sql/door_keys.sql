-- The keys that codes may be signed with, oldest first, and what signs with them, sealed. Reads only.
SELECT k.public_key, k.status = 'active' AS active, k.created_at, k.sealed_secret FROM ticket_keys k ORDER BY k.key_id
