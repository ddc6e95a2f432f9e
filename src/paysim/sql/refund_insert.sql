INSERT INTO refunds (id, created_us, payment_intent, charge, currency, amount, status, failure_reason, reason, metadata)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
