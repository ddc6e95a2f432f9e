-- (nothing) -> created, for a booking that waits to be paid and whose lock is being paid, and the row of its first call: the intent
-- is made as soon as this is committed. After lock_pay, in the same transaction. No row: no such booking, its sum is not what the
-- call says ($12: the call's body, $13, $14: the sum in it), one attempt is under way already (payments_one_live), or this request
-- has been decided since it was looked for: a decline is the answer to its key, it is not asked for twice.
-- The bounds: 3-D Secure may hold until 10 minutes after the lock's expiry, nothing longer than 30 minutes after it was made.
-- Rows: the attempt as payment_lease tells it, and the call's key.
WITH made AS (
  INSERT INTO payments (show_id, payment_id, booking_id, lock_id, attempt_no, request_id, request_hash, state, amount_minor,
                        currency, method, return_url, action_until, hold_until, settle_at, ask_after)
  SELECT $1::uuid, $2::uuid, b.booking_id, b.lock_id,
         1 + (SELECT count(*) FROM payments o WHERE o.show_id = $1::uuid AND o.booking_id = b.booking_id),
         $5::uuid, $6::bytea, 'created', b.total_minor, b.currency, $7::text, $8::text,
         least(l.expires_at + interval '10 minutes', l.created_at + interval '30 minutes'),
         l.created_at + interval '30 minutes', statement_timestamp() + $9::interval, statement_timestamp() + $9::interval
    FROM bookings b
    JOIN seat_locks l ON l.show_id = $1::uuid AND l.lock_id = b.lock_id AND l.state = 'paying'
   WHERE b.show_id = $1::uuid AND b.booking_id = $3::uuid AND b.lock_id = $4::uuid
     AND b.total_minor = $13::bigint AND b.currency = $14::text
     AND CASE WHEN b.state = 'payment_pending' THEN true END -- (in a CASE: else the index of pending bookings looks as good as the key)
     AND (SELECT count(*) FROM payments o WHERE o.request_id = $5::uuid AND o.show_id = $1::uuid
           AND (o.state <> 'failed' OR o.failure = 'declined')) = 0
  ON CONFLICT DO NOTHING
  RETURNING payment_id, booking_id, lock_id, state, generation, amount_minor, currency, method, return_url, intent_id, void_wanted,
            action_until, hold_until, settle_tries, attempt_no),
called AS (
  INSERT INTO payment_calls AS c (show_id, payment_id, step, call_no, subject_id, idempotency_key, method, path, body, sent_at)
  SELECT $1::uuid, m.payment_id, 'create', 1, m.payment_id, m.payment_id::text || '-create-1', 'POST', '/v1/payment_intents',
         $12::text, statement_timestamp()
    FROM made m
  RETURNING c.idempotency_key),
noted AS (
  INSERT INTO payment_events (show_id, event_id, payment_id, booking_id, from_state, to_state, amount_minor, currency, actor, why)
  SELECT $1::uuid, $10::uuid, m.payment_id, m.booking_id, '', 'created', m.amount_minor, m.currency, 'buyer', 'asked to pay'
    FROM made m),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $11::uuid, 'payment', json_build_array(json_build_object('type', 'payment.created',
           'payment_id', m.payment_id, 'version', 1, 'show_id', $1::uuid, 'booking_id', m.booking_id, 'attempt', m.attempt_no,
           'amount', json_build_object('amount', m.amount_minor, 'currency', m.currency)))
    FROM made m)
SELECT m.payment_id, m.booking_id, m.lock_id, m.state, m.generation, m.amount_minor, m.currency::text, m.method, m.return_url,
       m.intent_id, m.void_wanted, m.action_until, m.hold_until, statement_timestamp() AS now, false AS confirm_called,
       m.settle_tries, b.seats, b.event_id,
       coalesce((SELECT e.max_per_payer FROM events e WHERE e.event_id = b.event_id), 0) AS max_per_payer,
       false AS cancel_called, (SELECT c.idempotency_key FROM called c) AS key
  FROM made m
  CROSS JOIN LATERAL (SELECT k.seats, k.event_id FROM bookings k -- (OFFSET: found by its key, not joined over the show)
                       WHERE k.show_id = $1::uuid AND k.booking_id = m.booking_id OFFSET 0) b
