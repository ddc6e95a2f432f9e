-- The tickets of a confirmed booking are to be sent once more ($3), unless that was asked $4 times within $5. After booking_hold, in
-- the same transaction. One row: when it was asked (null: not), whether there is an address, how often it was asked lately, and after
-- how many seconds it may be asked again.
WITH lately AS (
  SELECT count(*) AS n, min(n.created_at) AS first FROM notifications n
   WHERE n.booking_id = $2::uuid AND n.kind = 'tickets' AND n.created_at > statement_timestamp() - $5::interval),
whom AS (
  SELECT b.organizer_id, b.buyer_id, y.email <> '' AS reachable
    FROM bookings b
   CROSS JOIN LATERAL (SELECT k.email FROM buyers k WHERE k.buyer_id = b.buyer_id LIMIT 1) y
   WHERE b.show_id = $1::uuid AND b.booking_id = $2::uuid),
made AS (
  INSERT INTO notifications (notification_id, organizer_id, kind, show_id, booking_id, buyer_id)
  SELECT $3::uuid, w.organizer_id, 'tickets', $1::uuid, $2::uuid, w.buyer_id
    FROM whom w, lately l WHERE w.reachable AND l.n < $4::int
  RETURNING created_at)
SELECT (SELECT m.created_at FROM made m) AS asked_at, (SELECT w.reachable FROM whom w) AS reachable, l.n,
       ceil(extract(epoch FROM l.first + $5::interval - statement_timestamp()))::bigint AS wait_s
  FROM lately l
