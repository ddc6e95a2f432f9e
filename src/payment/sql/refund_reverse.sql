-- A refund that had succeeded has failed at the gateway afterwards: what it gave back is there again. No state changes; the trail
-- has the moment, once, and the statement of that day its line. After payments_lock: who says the same at the same time waits
-- there, and this statement must begin when it is over.
WITH back AS (
  UPDATE refunds r SET version = r.version + 1
   WHERE r.show_id = $1::uuid AND r.refund_id = $2::uuid AND r.state = 'succeeded'
     AND (SELECT count(*) FROM payment_events e WHERE e.booking_id = r.booking_id AND e.show_id = $1::uuid
             AND e.refund_id = r.refund_id AND e.from_state = 'succeeded') = 0
  RETURNING r.refund_id, r.payment_id, r.booking_id, r.amount_minor, r.currency, r.kind, r.version, r.gateway_id),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $4::uuid, 'payment', json_build_array(json_build_object('type', 'refund.reversed', 'refund_id', b.refund_id,
           'version', b.version, 'show_id', $1::uuid, 'booking_id', b.booking_id, 'payment_id', b.payment_id, 'kind', b.kind,
           'amount', json_build_object('amount', b.amount_minor, 'currency', b.currency)))
    FROM back b)
INSERT INTO payment_events (show_id, event_id, payment_id, booking_id, refund_id, from_state, to_state, amount_minor, currency, actor,
                            why)
SELECT $1::uuid, $3::uuid, b.payment_id, b.booking_id, b.refund_id, 'succeeded', 'succeeded', b.amount_minor, b.currency, 'webhook',
       'taken back by the gateway: ' || b.gateway_id
  FROM back b
