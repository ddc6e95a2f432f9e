SELECT seq, id, created_us, payment_intent, amount, payment_method, card, challenged, failure_code, decline_code,
	failure_message
FROM charges WHERE id = ?1
