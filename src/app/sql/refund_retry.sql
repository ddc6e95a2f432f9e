-- (nothing) -> requested: what a failed refund ($2) should have given back, as a new one ($3), by the rules of refund_request:
-- never more than the payment has left; where somebody gave a part back at the gateway, what that left. What the gateway took of
-- an attempt that had ended (void) may be more than we asked for: the first refund of that kind has all of it. After
-- payments_lock, in the transaction that settles the finding. $6 who does it.
WITH one AS (
  SELECT r.payment_id, r.booking_id, r.amount_minor, r.currency, r.kind, r.reason, r.seats,
         CASE WHEN r.kind = 'void' THEN (SELECT max(o.amount_minor) FROM refunds o WHERE o.show_id = $1::uuid
                 AND o.booking_id = r.booking_id AND o.payment_id = r.payment_id AND o.kind = 'void')
              ELSE p.amount_minor END
           - coalesce((SELECT sum(o.amount_minor) FROM refunds o WHERE o.show_id = $1::uuid
                 AND o.booking_id = r.booking_id AND o.payment_id = r.payment_id AND o.state <> 'failed'), 0) AS left_minor,
         coalesce((SELECT sum(CASE e.from_state WHEN '' THEN e.amount_minor ELSE -e.amount_minor END) FROM payment_events e
                    WHERE e.show_id = $1::uuid AND e.booking_id = r.booking_id AND e.payment_id = r.payment_id
                      AND e.to_state = 'succeeded' AND e.refund_id IS NULL), 0) AS by_hand_minor
    FROM refunds r JOIN payments p ON p.show_id = $1::uuid AND p.payment_id = r.payment_id
   WHERE r.show_id = $1::uuid AND r.refund_id = $2::uuid AND r.state = 'failed'
     AND (p.state IN ('authorised', 'captured') OR r.kind = 'void')),
failed AS (
  SELECT o.payment_id, o.booking_id, least(o.amount_minor, o.left_minor - o.by_hand_minor)::bigint AS amount_minor, o.currency, o.kind,
         o.reason, o.seats
    FROM one o
   WHERE o.amount_minor <= o.left_minor AND o.left_minor > o.by_hand_minor),
made AS (
  INSERT INTO refunds (show_id, refund_id, payment_id, booking_id, state, amount_minor, currency, kind, reason, seats, settle_at)
  SELECT $1::uuid, $3::uuid, f.payment_id, f.booking_id, 'requested', f.amount_minor, f.currency, f.kind, f.reason, f.seats,
         statement_timestamp()
    FROM failed f
  RETURNING refund_id, payment_id, booking_id, amount_minor, currency, kind),
noted AS (
  INSERT INTO payment_events (show_id, event_id, payment_id, booking_id, refund_id, from_state, to_state, amount_minor, currency,
                              actor, why)
  SELECT $1::uuid, $4::uuid, m.payment_id, m.booking_id, m.refund_id, '', 'requested', m.amount_minor, m.currency, 'staff',
         'again, in place of ' || $2::uuid || ', by ' || $6::text
    FROM made m),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $5::uuid, 'payment', json_build_array(json_build_object('type', 'refund.requested',
           'refund_id', m.refund_id, 'version', 1, 'show_id', $1::uuid, 'booking_id', m.booking_id, 'payment_id', m.payment_id,
           'kind', m.kind,
           'amount', json_build_object('amount', m.amount_minor, 'currency', m.currency)))
    FROM made m)
SELECT m.amount_minor, m.currency::text FROM made m
