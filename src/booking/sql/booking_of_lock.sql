-- The booking a lock has already, locked: before the lock, as the order of locks wants it.
SELECT b.booking_id FROM bookings b WHERE b.show_id = $1::uuid AND b.lock_id = $2::uuid FOR NO KEY UPDATE
