-- How many bookings of a person (as in buyer_erase) are for shows that are still to come, and of how many others they have tickets by
-- a transfer. Reads only.
WITH who AS (
  SELECT y.buyer_id FROM buyers y
   WHERE y.erased_at IS NULL AND (lower(y.email) = lower($1::text) OR y.buyer_id = nullif($2::text, '')::uuid)
     AND ($3::text = '' OR y.organizer_id = (SELECT o.organizer_id FROM organizers o WHERE o.name = $3::text))),
theirs AS (
  SELECT b.show_id, b.booking_id FROM who w JOIN bookings b ON b.buyer_id = w.buyer_id AND b.state IN ('confirmed', 'payment_pending')
  UNION
  SELECT t.show_id, t.booking_id FROM who w
    JOIN ticket_transfers f ON f.to_buyer = w.buyer_id
    JOIN tickets t ON t.show_id = f.show_id AND t.booking_id = f.booking_id AND t.transfer_id = f.transfer_id AND t.state <> 'revoked')
SELECT count(*) AS n FROM theirs h JOIN shows s ON s.show_id = h.show_id AND s.starts_at > statement_timestamp()
