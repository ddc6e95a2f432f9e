-- An organiser's ($1) bookings, newest first, after the cursor ($3, $4): all, or those in one state ($2). Reads only.
SELECT b.booking_id, b.created_at, b.show_id, b.event_id, b.reference, b.state, b.reason, cardinality(b.seats) AS n_seats, b.total_minor,
       b.currency::text, y.name, y.email
  FROM bookings b
 CROSS JOIN LATERAL (SELECT k.name, k.email FROM buyers k WHERE k.buyer_id = b.buyer_id LIMIT 1) y
 WHERE b.organizer_id = $1::uuid AND (b.created_at, b.booking_id) < ($3::timestamptz, $4::uuid)
   AND ($2::text = '' OR b.state = $2::text)
 ORDER BY b.created_at DESC, b.booking_id DESC LIMIT $5::int
