-- Takes a refund that is not through and whose time has come; until $3 from now it is the taker's.
UPDATE refunds r SET settle_at = statement_timestamp() + $3::interval, settle_tries = r.settle_tries + 1
  FROM payments p
 WHERE r.show_id = $1::uuid AND r.refund_id = $2::uuid AND r.state IN ('requested', 'pending')
   AND r.settle_at <= statement_timestamp() AND p.show_id = $1::uuid AND p.payment_id = r.payment_id
RETURNING r.payment_id, r.booking_id, r.state, r.amount_minor, r.currency::text, r.settle_tries, p.state, p.intent_id,
          EXISTS (SELECT 1 FROM payment_calls c WHERE c.show_id = $1::uuid AND c.payment_id = r.payment_id
                   AND c.step = 'refund' AND c.subject_id = r.refund_id) AS called, r.gateway_id, r.kind
