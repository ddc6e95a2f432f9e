INSERT INTO deliveries (event_seq, attempts, copies, due_us) VALUES (?1, 0, ?2, ?3)
