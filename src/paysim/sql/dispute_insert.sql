INSERT INTO disputes (id, created_us, charge, payment_intent, currency, amount, reason, inquiry, card)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
