-- Authorised before ?1 and never captured, oldest first.
SELECT seq, id, created_us, status, manual_capture, redirects, currency, amount, amount_capturable, amount_received,
	amount_refunded, payment_method, latest_charge, client_secret, return_url, action_key, description, metadata,
	last_payment_error, cancellation_reason, canceled_us, authorised_us
FROM payment_intents WHERE status = 'requires_capture' AND authorised_us <= ?1 ORDER BY authorised_us LIMIT 100
