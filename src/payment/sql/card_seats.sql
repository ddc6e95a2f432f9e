-- Seats of an event that were paid with a card, by other attempts. Reads only; over the event's shows.
SELECT coalesce(sum((SELECT count(*) FROM booking_seats s
                      WHERE s.show_id = p.show_id AND s.booking_id = p.booking_id AND s.released_at IS NULL)), 0)::bigint AS n
  FROM payments p
  JOIN bookings b ON b.show_id = p.show_id AND b.booking_id = p.booking_id AND b.event_id = $1::uuid
 WHERE p.card_hash = $2::bytea AND p.card_hash <> '' AND p.state IN ('authorised', 'captured') AND p.payment_id <> $3::uuid
