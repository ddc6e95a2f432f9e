-- The same as bookings_list, of the people whose mail address begins with $7 ($8: the first text that does not);
-- of one show when $6 is not zeros. Who was erased is not found. At most a page of each person's. (OFFSET 0: each beginning is looked for
-- by its own index, whatever else is asked.)
SELECT b.booking_id, b.created_at, b.show_id, b.event_id, b.reference, b.state, b.reason, cardinality(b.seats) AS n_seats, b.total_minor,
       b.currency::text, y.name, y.email
  FROM (SELECT k.*
          FROM buyers k
         WHERE lower(k.email) ~>=~ lower($7::text) AND lower(k.email) ~<~ lower($8::text) OFFSET 0) y
 CROSS JOIN LATERAL (
        SELECT * FROM bookings b
         WHERE b.buyer_id = y.buyer_id AND ($2::text = '' OR b.state = $2::text)
           AND ($6::uuid = '00000000-0000-0000-0000-000000000000' OR b.show_id = $6::uuid)
           AND (b.created_at, b.booking_id) < ($3::timestamptz, $4::uuid)
         ORDER BY b.created_at DESC, b.booking_id DESC LIMIT $5::int) b
 WHERE y.organizer_id = $1::uuid AND y.erased_at IS NULL
 ORDER BY b.created_at DESC, b.booking_id DESC LIMIT $5::int
