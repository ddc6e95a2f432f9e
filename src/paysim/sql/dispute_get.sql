SELECT seq, id, created_us, charge, payment_intent, currency, amount, reason, inquiry, card
FROM disputes WHERE id = ?1
