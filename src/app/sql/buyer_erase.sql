-- A person is forgotten: by address ($1) or by one record's id ($2), of one organiser ($3) or, when that is empty, of all. What
-- was made of what they wrote (request hashes) and of their cards goes too; bookings, payments, tickets and sums stay, and
-- point to a record that says nothing. staff: somebody with this address is of the staff, which is not forgotten here. Locks the rows
-- of buyers, bookings, payments and transfers.
WITH hashes AS ( -- as they are before
  SELECT DISTINCT y.organizer_id, y.email_hash FROM buyers y
   WHERE y.erased_at IS NULL AND (lower(y.email) = lower($1::text) OR y.buyer_id = nullif($2::text, '')::uuid)
     AND ($3::text = '' OR y.organizer_id = (SELECT o.organizer_id FROM organizers o WHERE o.name = $3::text))),
forgotten AS (
  DELETE FROM recommend_booked r USING hashes h WHERE r.organizer_id = h.organizer_id AND r.person = h.email_hash),
gone AS (
  UPDATE buyers y SET name = '', email = '', email_hash = '', locale = 'en', erased_at = statement_timestamp()
   WHERE y.erased_at IS NULL AND (lower(y.email) = lower($1::text) OR y.buyer_id = nullif($2::text, '')::uuid)
     AND ($3::text = '' OR y.organizer_id = (SELECT o.organizer_id FROM organizers o WHERE o.name = $3::text))
  RETURNING y.buyer_id),
theirs AS (
  UPDATE bookings b SET request_hash = '' FROM gone g WHERE b.buyer_id = g.buyer_id
  RETURNING b.show_id, b.booking_id),
paid AS (
  UPDATE payments p SET request_hash = '', card_hash = '' FROM theirs t WHERE p.show_id = t.show_id AND p.booking_id = t.booking_id
  RETURNING p.payment_id),
given AS (
  UPDATE ticket_transfers f SET request_hash = '' FROM gone g WHERE f.to_buyer = g.buyer_id)
SELECT (SELECT count(*) FROM gone) AS records, (SELECT count(*) FROM theirs) AS bookings,
       (SELECT count(*) FROM paid) AS payments,
       (SELECT count(*) FROM staff_users u
         WHERE u.erased_at IS NULL AND $1::text <> '' AND u.email = lower($1::text)
           AND ($3::text = '' OR u.organizer_id = (SELECT o.organizer_id FROM organizers o WHERE o.name = $3::text))) AS staff
