-- The same as bookings_list, by reference ($7); of one show when $6 is not zeros.
SELECT b.booking_id, b.created_at, b.show_id, b.event_id, b.reference, b.state, b.reason, cardinality(b.seats) AS n_seats, b.total_minor,
       b.currency::text, y.name, y.email
  FROM (SELECT * FROM bookings r WHERE r.reference = $7::text OFFSET 0) b -- (apart: else every index of the organiser fits)
 CROSS JOIN LATERAL (SELECT k.name, k.email FROM buyers k WHERE k.buyer_id = b.buyer_id LIMIT 1) y
 WHERE b.organizer_id = $1::uuid AND ($2::text = '' OR b.state = $2::text)
   AND ($6::uuid = '00000000-0000-0000-0000-000000000000' OR b.show_id = $6::uuid)
   AND (b.created_at, b.booking_id) < ($3::timestamptz, $4::uuid)
 ORDER BY b.created_at DESC, b.booking_id DESC LIMIT $5::int
