-- The attempts of a booking. Reads only.
SELECT p.payment_id, p.attempt_no, p.state, p.amount_minor, p.currency::text, p.intent_id, p.failure, p.decline_code,
       p.void_wanted, p.created_at
  FROM payments p
 WHERE p.show_id = $1::uuid AND p.booking_id = $2::uuid
 ORDER BY p.attempt_no
