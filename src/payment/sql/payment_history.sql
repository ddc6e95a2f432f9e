-- The audit trail of a booking: every arrow of its attempts and refunds, in order. Reads only.
SELECT e.at, e.payment_id, e.refund_id, e.from_state, e.to_state, e.amount_minor, e.currency::text, e.actor, e.why,
       e.gateway_request_id
  FROM payment_events e
 WHERE e.show_id = $1::uuid AND e.booking_id = $2::uuid
 ORDER BY e.at, e.event_id
 LIMIT 1000
