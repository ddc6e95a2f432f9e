INSERT INTO charges (id, created_us, payment_intent, amount, payment_method, card, challenged, failure_code, decline_code,
	failure_message)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
