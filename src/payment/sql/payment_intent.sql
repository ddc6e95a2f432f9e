-- The gateway's id of an attempt's intent is known: once, by the one who has the attempt.
UPDATE payments p SET intent_id = $4::text
 WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid AND p.generation = $3::int AND p.intent_id = ''
RETURNING p.payment_id
