-- The tickets of a booking that are still to be used, of whoever has them: its buyer ($3 zeros), or who was given them by transfer $3.
-- Reads only.
SELECT t.ticket_id, t.seat_no, t.state, t.key_id, k.sealed_secret, t.issued_at,
       b.prices[array_position(b.seats, t.seat_no)] AS price_minor, b.currency::text
  FROM tickets t
  JOIN ticket_keys k ON k.key_id = t.key_id
  JOIN bookings b ON b.show_id = t.show_id AND b.booking_id = t.booking_id
 WHERE t.show_id = $1::uuid AND t.booking_id = $2::uuid AND t.state = 'valid' AND t.transfer_id = $3::uuid
 ORDER BY t.seat_no
