-- A ticket with all that its paper says and the show does not; the name is its holder's. Reads only.
SELECT t.ticket_id, t.seat_no, t.state, t.key_id, k.sealed_secret, t.issued_at, b.booking_id, b.session_id, b.organizer_id,
       b.reference, b.prices[array_position(b.seats, t.seat_no)] AS price_minor, b.currency::text, coalesce(y.name, '') AS buyer,
       coalesce(y.locale, 'en') AS locale, o.name AS organizer,
       t.transfer_id
  FROM tickets t
  JOIN ticket_keys k ON k.key_id = t.key_id
  JOIN bookings b ON b.show_id = t.show_id AND b.booking_id = t.booking_id
  JOIN organizers o ON o.organizer_id = b.organizer_id
  LEFT JOIN ticket_transfers f ON f.show_id = t.show_id AND f.transfer_id = t.transfer_id
  LEFT JOIN buyers y ON y.buyer_id = coalesce(f.to_buyer, b.buyer_id)
 WHERE t.show_id = $1::uuid AND t.ticket_id = $2::uuid
