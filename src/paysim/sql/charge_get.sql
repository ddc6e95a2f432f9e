-- The last column: 0 undisputed, 1 disputed, 2 only asked about.
SELECT seq, id, created_us, payment_intent, amount, payment_method, card, challenged, failure_code, decline_code,
	failure_message, coalesce((SELECT 1 + min(inquiry) FROM disputes d WHERE d.charge = charges.id), 0)
FROM charges WHERE id = ?1
