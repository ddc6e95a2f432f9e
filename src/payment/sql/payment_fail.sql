-- created, requires_action -> failed: nothing was or will be charged. In the transaction that gives the lock back.
-- $8: 'declined' or 'unavailable', $9: the decline code, $10: whether the gateway should cancel the intent.
-- Guarded by the generation: whoever was taken over finds nothing to do. Locks the payment's row.
WITH old AS (
  SELECT p.state FROM payments p
   WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid AND p.generation = $3::int
     FOR NO KEY UPDATE),
moved AS (
  UPDATE payments p SET state = 'failed', version = p.version + 1, settle_tries = 0,
         failure = $8::text, decline_code = $9::text, void_wanted = $10::boolean AND p.intent_id <> '',
         settle_at = CASE WHEN $10::boolean AND p.intent_id <> '' THEN statement_timestamp() ELSE 'infinity' END
    FROM old WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid AND p.generation = $3::int AND p.state = old.state
     AND old.state IN ('created', 'requires_action')
  RETURNING p.payment_id, p.booking_id, p.lock_id, p.state, p.version, p.amount_minor, p.currency, p.attempt_no, old.state AS was),
noted AS (
  INSERT INTO payment_events (show_id, event_id, payment_id, booking_id, from_state, to_state, amount_minor, currency, actor,
                              why, gateway_request_id)
  SELECT $1::uuid, $4::uuid, m.payment_id, m.booking_id, m.was, m.state, m.amount_minor, m.currency, $6::text,
         concat_ws(': ', $8::text, nullif($9::text, '')), $7::text
    FROM moved m),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $5::uuid, 'payment', json_build_array(json_build_object('type', 'payment.failed',
           'payment_id', m.payment_id, 'version', m.version, 'show_id', $1::uuid, 'booking_id', m.booking_id, 'attempt', m.attempt_no,
           'amount', json_build_object('amount', m.amount_minor, 'currency', m.currency), 'reason', $8::text, 'decline_code', $9::text))
    FROM moved m)
SELECT m.booking_id, m.lock_id, m.was FROM moved m
