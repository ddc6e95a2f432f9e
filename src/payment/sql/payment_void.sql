-- created, requires_action -> voided: nothing may be charged. $8 failure: 'seats_lost' ('show_cancelled' when
-- that is why), 'card_limit' or 'amount_differs'; $9 the same in words.
-- Guarded by the generation: whoever was taken over finds nothing to do. Locks the payment's row.
WITH old AS (
  SELECT p.state FROM payments p
   WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid AND p.generation = $3::int
     FOR NO KEY UPDATE),
moved AS (
  UPDATE payments p SET state = 'voided', version = p.version + 1, settle_tries = 0,
         failure = CASE WHEN $8::text = 'seats_lost' AND (SELECT s.status FROM shows s WHERE s.show_id = $1::uuid) = 'cancelled'
                        THEN 'show_cancelled' ELSE $8::text END, void_wanted = p.intent_id <> '',
         settle_at = CASE WHEN p.intent_id <> '' THEN statement_timestamp() ELSE 'infinity' END
    FROM old WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid AND p.generation = $3::int AND p.state = old.state
     AND old.state IN ('created', 'requires_action')
  RETURNING p.payment_id, p.booking_id, p.lock_id, p.state, p.version, p.amount_minor, p.currency, p.attempt_no, p.failure, old.state AS was),
noted AS (
  INSERT INTO payment_events (show_id, event_id, payment_id, booking_id, from_state, to_state, amount_minor, currency, actor,
                              why, gateway_request_id)
  SELECT $1::uuid, $4::uuid, m.payment_id, m.booking_id, m.was, m.state, m.amount_minor, m.currency, $6::text,
         $9::text, $7::text
    FROM moved m),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $5::uuid, 'payment', json_build_array(json_build_object('type', 'payment.voided',
           'payment_id', m.payment_id, 'version', m.version, 'show_id', $1::uuid, 'booking_id', m.booking_id, 'attempt', m.attempt_no,
           'amount', json_build_object('amount', m.amount_minor, 'currency', m.currency), 'reason', m.failure))
    FROM moved m)
SELECT m.booking_id, m.lock_id, m.was FROM moved m
