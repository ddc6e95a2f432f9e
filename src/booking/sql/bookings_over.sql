-- Bookings that wait for a payment whose lock has ended: nobody will pay them. Reads only, over all shows; each is then ended
-- by booking_fail.
SELECT b.show_id, b.booking_id FROM bookings b
 WHERE b.state = 'payment_pending'
   AND NOT EXISTS (SELECT 1 FROM seat_locks l WHERE l.show_id = b.show_id AND l.lock_id = b.lock_id
                    AND (l.state = 'paying' OR (l.state = 'active' AND l.expires_at > statement_timestamp())))
 ORDER BY b.created_at LIMIT $1::int
