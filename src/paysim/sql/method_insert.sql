INSERT INTO payment_methods (id, created_us, card) VALUES (?1, ?2, ?3)
