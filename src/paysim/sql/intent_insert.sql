INSERT INTO payment_intents (id, created_us, status, manual_capture, redirects, currency, amount, amount_capturable,
	amount_received, amount_refunded, payment_method, latest_charge, client_secret, return_url, action_key, description,
	metadata, last_payment_error, cancellation_reason, canceled_us, authorised_us)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)
