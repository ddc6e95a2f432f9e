-- A refund is to be looked at again $3 from now. No row: somebody else has taken it since ($4: settle_tries as taken).
UPDATE refunds r SET settle_at = statement_timestamp() + $3::interval
 WHERE r.show_id = $1::uuid AND r.refund_id = $2::uuid AND r.state IN ('requested', 'pending')
   AND r.settle_tries = $4::int
RETURNING r.refund_id
