-- One refund. Reads only.
SELECT r.booking_id, r.state, r.amount_minor, r.currency::text, r.reason, r.request_hash FROM refunds r
 WHERE r.show_id = $1::uuid AND r.refund_id = $2::uuid
