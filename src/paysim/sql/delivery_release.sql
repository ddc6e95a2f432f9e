-- What was held back may go, unless it has gone already.
UPDATE deliveries SET due_us = ?2 WHERE event_seq = ?1 AND attempts = 0
