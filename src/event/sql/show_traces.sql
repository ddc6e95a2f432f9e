-- What was ever held or sold of a show: ever: anything, also what is over; held: by a lock that is alive; sold: by a booking
-- that is. In a statement behind show_seats_lock. Reads only.
SELECT coalesce((SELECT true FROM seat_locks l WHERE l.show_id = $1::uuid LIMIT 1),
                (SELECT true FROM bookings b WHERE b.show_id = $1::uuid LIMIT 1),
                (SELECT true FROM seat_lock_history h WHERE h.show_id = $1::uuid LIMIT 1), false) AS ever,
       coalesce((SELECT true FROM seat_locks l WHERE l.show_id = $1::uuid
                    AND (l.state = 'paying' OR (l.state = 'active' AND l.expires_at > statement_timestamp())) LIMIT 1), false) AS held,
       coalesce((SELECT true FROM bookings b WHERE b.show_id = $1::uuid AND b.state IN ('payment_pending', 'confirmed') LIMIT 1),
                false) AS sold
