-- What the gateway says of an attempt's sums is not what was asked: for a person to look at. Once per attempt and intent, however
-- often it is seen. In the transaction that voids the attempt or ends its booking.
INSERT INTO payment_findings AS f (finding_id, kind, gateway_id, subject_id, show_id, booking_id, amount_minor, currency, detail)
VALUES ($1::uuid, 'amount_differs', $2::text, $3::uuid, $4::uuid, $5::uuid, $6::bigint, $7::text, $8::text)
ON CONFLICT (gateway_id, subject_id, kind) DO UPDATE
   SET seen_at = statement_timestamp(), times = f.times + 1, detail = EXCLUDED.detail
