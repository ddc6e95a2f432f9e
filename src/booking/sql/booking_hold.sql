-- A booking, locked, with its seats: what a cancellation is decided on.
SELECT b.state, b.lock_id, b.session_id, b.organizer_id, b.fee_kept_minor, b.currency::text, s.cancel_until, s.cancel_fee_minor,
       statement_timestamp() AS now, b.seats, b.prices,
       (SELECT array_agg(x.seat_no ORDER BY x.seat_no) FILTER (WHERE x.released_at IS NULL) FROM booking_seats x
         WHERE x.show_id = $1::uuid AND x.booking_id = $2::uuid) AS live
  FROM bookings b
  JOIN shows s ON s.show_id = b.show_id
 WHERE b.show_id = $1::uuid AND b.booking_id = $2::uuid
   FOR NO KEY UPDATE OF b
