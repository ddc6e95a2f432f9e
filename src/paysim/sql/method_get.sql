SELECT id, created_us, card FROM payment_methods WHERE id = ?1
