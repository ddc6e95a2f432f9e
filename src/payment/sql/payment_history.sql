-- The audit trail of a booking, a page: every arrow of its attempts and refunds after ($3, $4), in order, at most $5. Reads only.
SELECT e.at, e.payment_id, e.refund_id, e.from_state, e.to_state, e.amount_minor, e.currency::text, e.actor, e.why,
       e.gateway_request_id, e.event_id
  FROM payment_events e
 WHERE e.show_id = $1::uuid AND e.booking_id = $2::uuid AND (e.at, e.event_id) > ($3::timestamptz, $4::uuid)
 ORDER BY e.at, e.event_id
 LIMIT $5::int
