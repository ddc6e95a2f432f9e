-- (nothing) -> requested, of what the booking's payment has left. After payments_lock, in the cancelling transaction. A
-- payment whose capture is not proven yet counts: its refund is sent when it is.
WITH paid AS (
  SELECT p.payment_id, p.booking_id, p.currency,
         p.amount_minor - coalesce((SELECT sum(r.amount_minor) FROM refunds r WHERE r.show_id = $1::uuid
                                     AND r.booking_id = $2::uuid AND r.payment_id = p.payment_id AND r.state <> 'failed'), 0) AS left_minor
    FROM payments p
   WHERE p.show_id = $1::uuid AND p.booking_id = $2::uuid AND p.state IN ('authorised', 'captured')),
made AS (
  INSERT INTO refunds (show_id, refund_id, payment_id, booking_id, state, amount_minor, currency, kind, reason, seats, settle_at,
                       request_hash)
  SELECT $1::uuid, $3::uuid, p.payment_id, p.booking_id, 'requested', $4::bigint, p.currency, $5::text, $6::text, $7::int[],
         statement_timestamp(), $8::bytea
    FROM paid p WHERE p.left_minor >= $4::bigint
  RETURNING refund_id, payment_id, booking_id, amount_minor, currency),
noted AS (
  INSERT INTO payment_events (show_id, event_id, payment_id, booking_id, refund_id, from_state, to_state, amount_minor, currency,
                              actor, why)
  SELECT $1::uuid, $9::uuid, m.payment_id, m.booking_id, m.refund_id, '', 'requested', m.amount_minor, m.currency, $11::text,
         $5::text
    FROM made m),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $10::uuid, 'payment', json_build_array(json_build_object('type', 'refund.requested',
           'refund_id', m.refund_id, 'version', 1, 'show_id', $1::uuid, 'booking_id', m.booking_id, 'payment_id', m.payment_id,
           'kind', $5::text,
           'amount', json_build_object('amount', m.amount_minor, 'currency', m.currency)))
    FROM made m)
SELECT m.refund_id FROM made m
