-- The attempts of a booking, locked: the first in the order of locks.
SELECT p.payment_id, p.state, p.amount_minor,
       p.amount_minor - coalesce((SELECT sum(r.amount_minor) FROM refunds r WHERE r.show_id = $1::uuid
                                   AND r.booking_id = $2::uuid AND r.payment_id = p.payment_id AND r.state <> 'failed'), 0)::bigint AS left_minor
  FROM payments p
 WHERE p.show_id = $1::uuid AND p.booking_id = $2::uuid
 ORDER BY p.attempt_no DESC
   FOR NO KEY UPDATE
