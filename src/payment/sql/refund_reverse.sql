-- A refund that had succeeded has failed at the gateway afterwards: what it gave back is there again. No state changes; the trail
-- has the moment, once, and the statement of that day its line. After payments_lock: who says the same at the same time waits
-- there, and this statement must begin when it is over.
INSERT INTO payment_events (show_id, event_id, payment_id, booking_id, refund_id, from_state, to_state, amount_minor, currency, actor,
                            why)
SELECT $1::uuid, $3::uuid, r.payment_id, r.booking_id, r.refund_id, 'succeeded', 'succeeded', r.amount_minor, r.currency, 'webhook',
       'taken back by the gateway: ' || r.gateway_id
  FROM refunds r
 WHERE r.show_id = $1::uuid AND r.refund_id = $2::uuid AND r.state = 'succeeded'
   AND (SELECT count(*) FROM payment_events e WHERE e.booking_id = r.booking_id AND e.show_id = $1::uuid
           AND e.refund_id = r.refund_id AND e.from_state = 'succeeded') = 0
