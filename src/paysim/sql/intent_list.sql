-- Newest first; ?1 exclusive upper end, ?2 and ?3 the range of time (from, before), ?4 how many (-1: all).
SELECT seq, id, created_us, status, manual_capture, redirects, currency, amount, amount_capturable, amount_received,
	amount_refunded, payment_method, latest_charge, client_secret, return_url, action_key, description, metadata,
	last_payment_error, cancellation_reason, canceled_us, authorised_us
FROM payment_intents WHERE seq < ?1 AND created_us >= ?2 AND created_us < ?3 ORDER BY seq DESC LIMIT ?4
