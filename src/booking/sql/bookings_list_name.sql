-- The same as bookings_list, of the people whose mail address, name or last name begins with $7 ($8: the first text that does not);
-- of one show when $6 is not zeros. Found are bookings that they made, and those of which a transfer gave them tickets; who made it is
-- said. Who was erased is not found. At most a page of each person's own. (OFFSET 0: each beginning is looked for by its own index,
-- which has the organiser in front, whatever else is asked.)
SELECT DISTINCT ON (b.created_at, b.booking_id) b.booking_id, b.created_at, b.show_id, b.event_id, b.reference, b.state, b.reason,
       cardinality(b.seats) AS n_seats, b.total_minor, b.currency::text, p.name, p.email
  FROM (
        (SELECT k.buyer_id, k.organizer_id, k.erased_at
           FROM buyers k
          WHERE (k.organizer_id::text || lower(k.email)) ~>=~ ($1::uuid::text || lower($7::text))
            AND (k.organizer_id::text || lower(k.email)) ~<~ ($1::uuid::text || lower($8::text)) OFFSET 0)
        UNION
        (SELECT k.buyer_id, k.organizer_id, k.erased_at
           FROM buyers k
          WHERE (k.organizer_id::text || lower(k.name)) ~>=~ ($1::uuid::text || lower($7::text))
            AND (k.organizer_id::text || lower(k.name)) ~<~ ($1::uuid::text || lower($8::text)) OFFSET 0)
        UNION
        (SELECT k.buyer_id, k.organizer_id, k.erased_at
           FROM buyers k
          WHERE (k.organizer_id::text || lower(substring(k.name FROM '[^ ]*$'))) ~>=~ ($1::uuid::text || lower($7::text))
            AND (k.organizer_id::text || lower(substring(k.name FROM '[^ ]*$'))) ~<~ ($1::uuid::text || lower($8::text)) OFFSET 0)) y
 CROSS JOIN LATERAL (
        (SELECT b.* FROM bookings b
          WHERE b.buyer_id = y.buyer_id AND ($2::text = '' OR b.state = $2::text)
            AND ($6::uuid = '00000000-0000-0000-0000-000000000000' OR b.show_id = $6::uuid)
            AND (b.created_at, b.booking_id) < ($3::timestamptz, $4::uuid)
          ORDER BY b.created_at DESC, b.booking_id DESC LIMIT $5::int)
        UNION ALL
        (SELECT b.* FROM ticket_transfers f JOIN bookings b ON b.show_id = f.show_id AND b.booking_id = f.booking_id
          WHERE f.to_buyer = y.buyer_id AND ($2::text = '' OR b.state = $2::text)
            AND ($6::uuid = '00000000-0000-0000-0000-000000000000' OR b.show_id = $6::uuid)
            AND (b.created_at, b.booking_id) < ($3::timestamptz, $4::uuid))) b
 CROSS JOIN LATERAL (SELECT k.name, k.email FROM buyers k WHERE k.buyer_id = b.buyer_id LIMIT 1) p
 WHERE y.organizer_id = $1::uuid AND y.erased_at IS NULL
 ORDER BY b.created_at DESC, b.booking_id DESC LIMIT $5::int
