-- A ticket with all that its paper says and the show does not; the name is its holder's. Reads only.
SELECT t.ticket_id, t.seat_no, t.state, t.key_id, k.sealed_secret, t.issued_at, b.booking_id, b.session_id, b.organizer_id,
       b.reference, b.prices[array_position(b.seats, t.seat_no)] AS price_minor, b.currency::text, coalesce(y.name, '') AS buyer,
       coalesce(y.locale, 'en') AS locale, o.name AS organizer,
       t.transfer_id, CASE WHEN t.origin_id = '00000000-0000-0000-0000-000000000000' THEN t.ticket_id ELSE t.origin_id END AS origin_id,
       EXISTS (SELECT 1 FROM tickets x WHERE x.show_id = t.show_id AND x.booking_id = t.booking_id AND x.seat_no = t.seat_no
                  AND x.issued_at >= t.issued_at AND x.ticket_id <> t.ticket_id
                  AND x.origin_id = CASE WHEN t.origin_id = '00000000-0000-0000-0000-000000000000' THEN t.ticket_id ELSE t.origin_id END)
         AS reissued
  FROM tickets t
  JOIN ticket_keys k ON k.key_id = t.key_id
  JOIN bookings b ON b.show_id = t.show_id AND b.booking_id = t.booking_id
  JOIN organizers o ON o.organizer_id = b.organizer_id
  LEFT JOIN ticket_transfers f ON f.show_id = t.show_id AND f.transfer_id = t.transfer_id
  LEFT JOIN buyers y ON y.buyer_id = coalesce(f.to_buyer, b.buyer_id)
 WHERE t.show_id = $1::uuid AND t.ticket_id = $2::uuid
