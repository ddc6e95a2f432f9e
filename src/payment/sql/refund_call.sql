-- As payment_call, for a refund: it is guarded by the refund's state and by who took it last ($8: settle_tries as taken): what
-- the gateway's list said may be outdated by what others did since. A new key only after the gateway's own 500, which it repeats
-- for ever: with a proxy's 502 to 504 a copy may still be on its way, and a part of the money could go back twice.
WITH held AS (
  UPDATE refunds r SET settle_at = statement_timestamp() + $7::interval
   WHERE r.show_id = $1::uuid AND r.refund_id = $3::uuid AND r.payment_id = $2::uuid AND r.state = 'requested'
     AND r.settle_tries = $8::int
  RETURNING r.refund_id),
again AS (
  SELECT c.call_no, c.idempotency_key, c.path, c.body
    FROM (SELECT l.* FROM payment_calls l
           WHERE l.show_id = $1::uuid AND l.payment_id = $2::uuid AND l.step = 'refund' AND l.subject_id = $3::uuid
           ORDER BY l.call_no DESC LIMIT 1) c
   WHERE c.http_status IS DISTINCT FROM 500 AND c.sent_at > statement_timestamp() - interval '23 hours'),
made AS (
  INSERT INTO payment_calls AS c (show_id, payment_id, step, call_no, subject_id, idempotency_key, method, path, body, sent_at)
  SELECT $1::uuid, $2::uuid, 'refund', n.call_no, $3::uuid, $3::uuid::text || '-refund-' || n.call_no, $4::text, $5::text,
         $6::text, statement_timestamp()
    FROM held, (SELECT 1 + count(*)::int AS call_no FROM payment_calls l
                 WHERE l.show_id = $1::uuid AND l.payment_id = $2::uuid AND l.step = 'refund') n
   WHERE NOT EXISTS (SELECT 1 FROM again)
  RETURNING c.call_no, c.idempotency_key, c.path, c.body)
SELECT m.call_no, m.idempotency_key, m.path, m.body FROM made m
UNION ALL
SELECT a.call_no, a.idempotency_key, a.path, a.body FROM again a WHERE EXISTS (SELECT 1 FROM held)
