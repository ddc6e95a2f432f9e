-- Seats of an event that an address owns or is paying for, without those of one lock. Reads only; over the event's shows.
-- (Those that were given back are left out by the count, not by a condition: see card_seats.)
SELECT ((SELECT coalesce(sum((SELECT count(*) FILTER (WHERE s.released_at IS NULL) FROM booking_seats s
                              WHERE s.show_id = b.show_id AND s.booking_id = b.booking_id)), 0) FROM buyers y
          JOIN bookings b ON b.buyer_id = y.buyer_id AND b.event_id = $1::uuid AND b.state = 'confirmed'
         WHERE y.email_hash = $2::bytea)
     + (SELECT coalesce(sum(cardinality(b.seats)), 0) FROM buyers y
          JOIN bookings b ON b.buyer_id = y.buyer_id AND b.event_id = $1::uuid AND b.state = 'payment_pending'
           AND b.lock_id <> $3::uuid
          JOIN seat_locks l ON l.show_id = b.show_id AND l.lock_id = b.lock_id AND l.state = 'paying'
         WHERE y.email_hash = $2::bytea))::bigint AS n
