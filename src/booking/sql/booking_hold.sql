-- A booking, locked, with its seats: what a cancellation is decided on. goes_free: it was made before the show was put off, and may
-- be given back in full for a while. given: seats whose tickets are
-- somebody else's.
SELECT b.state, b.lock_id, b.session_id, b.organizer_id, b.fee_kept_minor, b.currency::text, s.cancel_until, s.cancel_fee_minor,
       statement_timestamp() AS now, b.seats, b.prices,
       (SELECT array_agg(x.seat_no ORDER BY x.seat_no) FILTER (WHERE x.released_at IS NULL) FROM booking_seats x
         WHERE x.show_id = $1::uuid AND x.booking_id = $2::uuid) AS live,
       b.created_at < s.rescheduled_at AND statement_timestamp() < s.refund_until AS goes_free,
       (SELECT array_agg(t.seat_no ORDER BY t.seat_no) FROM tickets t
         WHERE t.booking_id = $2::uuid AND t.show_id = $1::uuid AND t.state <> 'revoked'
           AND t.transfer_id <> '00000000-0000-0000-0000-000000000000') AS given
  FROM bookings b
  JOIN shows s ON s.show_id = b.show_id
 WHERE b.show_id = $1::uuid AND b.booking_id = $2::uuid
   FOR NO KEY UPDATE OF b
