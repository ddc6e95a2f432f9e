-- What was sent to the gateway for a booking, without what was in it: the latest $3 calls, newest first. Reads only.
SELECT c.sent_at, c.payment_id, c.subject_id, c.step, c.call_no, c.answered_at, c.http_status, c.gateway_request_id
  FROM payments p
 CROSS JOIN LATERAL (SELECT k.* FROM payment_calls k WHERE k.show_id = $1::uuid AND k.payment_id = p.payment_id
                      ORDER BY k.sent_at DESC LIMIT $3::int) c
 WHERE p.show_id = $1::uuid AND p.booking_id = $2::uuid
 ORDER BY c.sent_at DESC, c.payment_id, c.step, c.call_no DESC
 LIMIT $3::int
