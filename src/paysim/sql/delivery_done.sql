UPDATE deliveries SET copies = copies - 1, attempts = 0, due_us = ?2 WHERE event_seq = ?1
