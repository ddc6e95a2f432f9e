-- The open finding that a refund has failed. Reads only.
SELECT f.finding_id, f.show_id, f.booking_id FROM payment_findings f
 WHERE f.subject_id = $1::uuid AND f.kind = 'refund_failed' AND f.settled_at = 'infinity'
