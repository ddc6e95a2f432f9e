-- A call that is about to be made: committed before its bytes leave. The same call again is sent with the same key and the
-- same bytes; a new one is made only when the last was answered with a 5xx, which the gateway repeats for ever, or is so old
-- that the gateway has forgotten its key. Guarded by the generation. $9: how long it may take.
WITH held AS (
  UPDATE payments p SET settle_at = statement_timestamp() + $9::interval, ask_after = statement_timestamp() + $9::interval
   WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid AND p.generation = $3::int
  RETURNING p.payment_id),
again AS (
  SELECT c.call_no, c.idempotency_key, c.path, c.body
    FROM (SELECT l.* FROM payment_calls l
           WHERE l.show_id = $1::uuid AND l.payment_id = $2::uuid AND l.step = $4::text AND l.subject_id = $5::uuid
           ORDER BY l.call_no DESC LIMIT 1) c
   WHERE (c.http_status IS NULL OR c.http_status < 500) AND c.sent_at > statement_timestamp() - interval '23 hours'),
made AS (
  INSERT INTO payment_calls AS c (show_id, payment_id, step, call_no, subject_id, idempotency_key, method, path, body, sent_at)
  SELECT $1::uuid, $2::uuid, $4::text, n.call_no, $5::uuid, $5::uuid::text || '-' || $4::text || '-' || n.call_no, $6::text, $7::text,
         $8::text, statement_timestamp()
    FROM held, (SELECT 1 + count(*)::int AS call_no FROM payment_calls l
                 WHERE l.show_id = $1::uuid AND l.payment_id = $2::uuid AND l.step = $4::text) n
   WHERE NOT EXISTS (SELECT 1 FROM again)
  RETURNING c.call_no, c.idempotency_key, c.path, c.body)
SELECT m.call_no, m.idempotency_key, m.path, m.body FROM made m
UNION ALL
SELECT a.call_no, a.idempotency_key, a.path, a.body FROM again a WHERE EXISTS (SELECT 1 FROM held)
