-- A refund is to be looked at again $3 from now.
UPDATE refunds r SET settle_at = statement_timestamp() + $3::interval
 WHERE r.show_id = $1::uuid AND r.refund_id = $2::uuid AND r.state IN ('requested', 'pending')
