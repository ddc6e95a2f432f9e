-- The tickets of a confirmed booking are to be sent once more, each to who has it: to the buyer, and to those whom a transfer gave
-- theirs; unless that was asked $4 times within $5. $3 is the first mail's id. After booking_hold, in the same transaction. One row:
-- when it was asked (null: not), whether there is an address, how often it was asked lately, after how many seconds it may be asked
-- again, and how many mails that makes.
WITH lately AS (
  SELECT count(DISTINCT n.created_at) AS n, min(n.created_at) AS first FROM notifications n
   WHERE n.booking_id = $2::uuid AND n.kind = 'tickets' AND n.created_at > statement_timestamp() - $5::interval),
holders AS (
  SELECT DISTINCT coalesce(f.to_buyer, b.buyer_id) AS buyer_id, b.organizer_id, f.to_buyer IS NULL AS own
    FROM bookings b
    JOIN tickets t ON t.booking_id = b.booking_id AND t.show_id = b.show_id AND CASE WHEN t.state <> 'revoked' THEN true END
    LEFT JOIN ticket_transfers f ON f.show_id = t.show_id AND f.transfer_id = t.transfer_id
   WHERE b.show_id = $1::uuid AND b.booking_id = $2::uuid),
whom AS (
  SELECT h.buyer_id, h.organizer_id, row_number() OVER (ORDER BY h.own DESC, h.buyer_id) AS i
    FROM holders h
   CROSS JOIN LATERAL (SELECT k.email FROM buyers k WHERE k.buyer_id = h.buyer_id LIMIT 1) y
   WHERE y.email <> ''),
made AS (
  INSERT INTO notifications (notification_id, organizer_id, kind, show_id, booking_id, buyer_id)
  SELECT CASE WHEN w.i = 1 THEN $3::uuid ELSE gen_random_uuid() END, w.organizer_id, 'tickets', $1::uuid, $2::uuid, w.buyer_id
    FROM whom w, lately l WHERE l.n < $4::int
  RETURNING created_at)
SELECT (SELECT min(m.created_at) FROM made m) AS asked_at, EXISTS (SELECT FROM whom w) AS reachable, l.n,
       ceil(extract(epoch FROM l.first + $5::interval - statement_timestamp()))::bigint AS wait_s,
       (SELECT count(*) FROM made m) AS recipients
  FROM lately l
