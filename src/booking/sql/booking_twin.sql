-- Waits for whoever is about to pay a lock and has not committed yet: then one more question sees what became of it. Locks the
-- lock's row for the time of the statement.
SELECT l.lock_id FROM seat_locks l WHERE l.show_id = $1::uuid AND l.lock_id = $2::uuid FOR SHARE
