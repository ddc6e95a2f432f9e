SELECT seq, id, created_us, payment_intent, charge, currency, amount, status, failure_reason, reason, metadata
FROM refunds WHERE id = ?1
