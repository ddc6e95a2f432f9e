INSERT INTO later (due_us, kind, subject) VALUES (?1, ?2, ?3)
