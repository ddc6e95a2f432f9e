-- The keys that codes may be signed with, and the sealed secret of the one that signs now. Reads only.
SELECT k.public_key, k.status = 'active' AS active, k.created_at,
       CASE WHEN k.status = 'active' THEN k.sealed_secret ELSE '' END AS sealed_secret
  FROM ticket_keys k ORDER BY k.key_id
