-- A ticket that is about to be issued again, with whose it is, how often the seat's was within $3, and how many seconds are left of that.
-- Locks its booking, so that the booking is not cancelled meanwhile. (Whoever reissues names the newest ticket of the seat, so all
-- before it are committed and counted.)
SELECT t.state, t.booking_id, t.transfer_id, b.session_id, b.organizer_id, b.state AS booking_state, l.n,
       ceil(extract(epoch FROM l.first + $3::interval - statement_timestamp()))::bigint AS wait_s
  FROM tickets t
  JOIN bookings b ON b.show_id = t.show_id AND b.booking_id = t.booking_id
 CROSS JOIN LATERAL (
        SELECT count(*) AS n, min(r.issued_at) AS first FROM tickets r
         WHERE r.show_id = t.show_id AND r.booking_id = t.booking_id AND r.seat_no = t.seat_no
           AND r.origin_id <> '00000000-0000-0000-0000-000000000000'
           AND r.issued_at > statement_timestamp() - $3::interval) l
 WHERE t.show_id = $1::uuid AND t.ticket_id = $2::uuid
   FOR NO KEY UPDATE OF b
