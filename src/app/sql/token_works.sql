-- Does this token (its hash in hexadecimal) still have every scope?
SELECT 1 FROM api_tokens
 WHERE token_hash = decode($1::text, 'hex') AND revoked_at IS NULL AND expires_at > statement_timestamp()
   AND scopes @> '{events,seats,bookings,payments,checkin,admin}'
