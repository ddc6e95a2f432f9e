-- Void came too late, the gateway has taken the money of an ended attempt: all of it goes back. (nothing) -> requested. Once: an
-- event of the gateway that comes late may ask for it again. $8: what it says it took, in the attempt's currency
-- (another one is a person's to give back: move_void_ended); -1 when it does not say. That may be another sum than was asked for, and then only that sum can be given back.
WITH done AS (
  UPDATE payments p SET void_wanted = false, settle_at = 'infinity', settle_tries = 0, ask_after = statement_timestamp()
   WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid AND p.generation = $3::int AND p.void_wanted
  RETURNING p.payment_id, p.booking_id, p.state, p.amount_minor, p.currency),
made AS (
  INSERT INTO refunds (show_id, refund_id, payment_id, booking_id, state, amount_minor, currency, kind, reason, settle_at)
  SELECT $1::uuid, $7::uuid, d.payment_id, d.booking_id, 'requested',
         CASE WHEN $8::bigint > 0 THEN $8::bigint ELSE d.amount_minor END, d.currency, 'void',
         'taken although the booking had ended', statement_timestamp()
    FROM done d
   WHERE (SELECT count(*) FROM refunds r WHERE r.booking_id = d.booking_id AND r.show_id = $1::uuid AND r.payment_id = $2::uuid) = 0
  RETURNING refund_id, payment_id, booking_id, amount_minor, currency),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $9::uuid, 'payment', json_build_array(json_build_object('type', 'refund.requested',
           'refund_id', m.refund_id, 'version', 1, 'show_id', $1::uuid, 'booking_id', m.booking_id, 'payment_id', m.payment_id,
           'kind', 'void', 'amount', json_build_object('amount', m.amount_minor, 'currency', m.currency)))
    FROM made m)
INSERT INTO payment_events (show_id, event_id, payment_id, booking_id, refund_id, from_state, to_state, amount_minor, currency,
                            actor, why, gateway_request_id)
SELECT $1::uuid, $4::uuid, m.payment_id, m.booking_id, m.refund_id, '', 'requested', m.amount_minor, m.currency, $5::text,
       'taken although the booking had ended', $6::text
  FROM made m
