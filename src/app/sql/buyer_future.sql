-- How many bookings of a person (as in buyer_erase) are for shows that are still to come. Reads only.
SELECT count(*) AS n
  FROM buyers y
  JOIN bookings b ON b.buyer_id = y.buyer_id AND b.state IN ('confirmed', 'payment_pending')
  JOIN shows s ON s.show_id = b.show_id AND s.starts_at > statement_timestamp()
 WHERE y.erased_at IS NULL AND (lower(y.email) = lower($1::text) OR y.buyer_id = nullif($2::text, '')::uuid)
   AND ($3::text = '' OR y.organizer_id = (SELECT o.organizer_id FROM organizers o WHERE o.name = $3::text))
