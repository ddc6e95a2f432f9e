-- The refunds of a booking. Reads only.
SELECT r.refund_id, r.payment_id, r.state, r.amount_minor, r.currency::text, r.kind, r.reason, r.gateway_id, r.failure,
       r.created_at, r.request_hash
  FROM refunds r
 WHERE r.show_id = $1::uuid AND r.booking_id = $2::uuid
 ORDER BY r.created_at, r.refund_id
