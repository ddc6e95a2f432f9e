-- The gateway says that something happened to a refund: it is due now if it is not through. No state changes by it. A row when
-- there is such a refund.
WITH due AS (
  UPDATE refunds r SET settle_at = least(r.settle_at, statement_timestamp())
   WHERE r.show_id = $1::uuid AND r.refund_id = $2::uuid AND r.state IN ('requested', 'pending')
  RETURNING r.refund_id)
SELECT r.state, r.payment_id, r.booking_id, r.amount_minor, r.currency::text
  FROM refunds r
 WHERE r.show_id = $1::uuid AND r.refund_id = $2::uuid
