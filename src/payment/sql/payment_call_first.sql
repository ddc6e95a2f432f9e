-- The first call of its kind, in the transaction of the arrow before it: that has locked the payment, looked at the generation and
-- given the lease. Committed before its bytes leave, and from then on replayed by payment_call. A second one is refused by the key.
INSERT INTO payment_calls AS c (show_id, payment_id, step, call_no, subject_id, idempotency_key, method, path, body, sent_at)
VALUES ($1::uuid, $2::uuid, $3::text, 1, $2::uuid, $2::uuid::text || '-' || $3::text || '-1', 'POST', $4::text, $5::text,
        statement_timestamp())
RETURNING c.call_no, c.idempotency_key, c.path, c.body
