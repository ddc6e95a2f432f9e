UPDATE deliveries SET attempts = ?2, due_us = ?3 WHERE event_seq = ?1
