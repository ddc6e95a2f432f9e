-- Seats of an event that were paid with a card, by other attempts. Reads only; over the event's shows.
-- (Those that were given back are left out by the count: as a condition it would make the index of live seats look as good as the
-- key, and reading all of the show.)
SELECT coalesce(sum((SELECT count(*) FILTER (WHERE s.released_at IS NULL) FROM booking_seats s
                      WHERE s.show_id = p.show_id AND s.booking_id = p.booking_id)), 0)::bigint AS n
  FROM payments p
  JOIN bookings b ON b.show_id = p.show_id AND b.booking_id = p.booking_id AND b.event_id = $1::uuid
 WHERE p.card_hash = $2::bytea AND p.card_hash <> '' AND p.state IN ('authorised', 'captured') AND p.payment_id <> $3::uuid
