-- Guarded by the status it was read with (?14).
UPDATE payment_intents
SET status = ?2, amount_capturable = ?3, amount_received = ?4, amount_refunded = ?5, payment_method = ?6,
	latest_charge = ?7, return_url = ?8, action_key = ?9, description = ?10, metadata = ?11, last_payment_error = ?12,
	cancellation_reason = ?13, canceled_us = ?15, authorised_us = ?16
WHERE id = ?1 AND status = ?14
