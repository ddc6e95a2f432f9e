-- The row of the confirmation, committed before its bytes leave, and in the same statement what the answer to the creation brought: the
-- gateway's id of the intent, known once, and that answer ($8 the call's number, $9 its status, $10, $11). Guarded by the generation;
-- only who made an attempt confirms it, and once: a second row is refused by the key. $7: how long the call may take.
WITH held AS (
  UPDATE payments p SET intent_id = $4::text, settle_at = statement_timestamp() + $7::interval,
         ask_after = statement_timestamp() + $7::interval
   WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid AND p.generation = $3::int AND p.intent_id = ''
  RETURNING p.payment_id),
answered AS (
  UPDATE payment_calls c
     SET answered_at = statement_timestamp(), http_status = $9::int, gateway_request_id = $10::text, answer = nullif($11::text, '')::json
   WHERE c.show_id = $1::uuid AND c.payment_id = $2::uuid AND c.step = 'create' AND c.call_no = $8::int
     AND (c.http_status IS NULL OR c.http_status >= 500))
INSERT INTO payment_calls AS c (show_id, payment_id, step, call_no, subject_id, idempotency_key, method, path, body, sent_at)
SELECT $1::uuid, h.payment_id, 'confirm', 1, h.payment_id, h.payment_id::text || '-confirm-1', 'POST', $5::text, $6::text,
       statement_timestamp()
  FROM held h
RETURNING c.call_no, c.idempotency_key, c.path, c.body
