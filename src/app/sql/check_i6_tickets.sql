-- I6: a confirmed booking has exactly one ticket that counts for each live seat, and no other has any.
SELECT x.show_id, 'booking ' || b.reference || ' has ' || count(t.ticket_id) || ' tickets for seat ' || x.seat_no AS fault
  FROM booking_seats x
  JOIN bookings b ON b.show_id = x.show_id AND b.booking_id = x.booking_id
  LEFT JOIN tickets t ON t.show_id = x.show_id AND t.booking_id = x.booking_id AND t.seat_no = x.seat_no AND t.state <> 'revoked'
 WHERE x.released_at IS NULL AND b.state = 'confirmed'
 GROUP BY x.show_id, b.reference, x.seat_no HAVING count(t.ticket_id) <> 1
UNION ALL
SELECT t.show_id, 'ticket ' || t.ticket_id || ' for seat ' || t.seat_no || ' is ' || t.state || ' but booking '
       || coalesce(b.reference || ' (' || b.state || ') does not have the seat', 'is not there')
  FROM tickets t
  LEFT JOIN bookings b ON b.show_id = t.show_id AND b.booking_id = t.booking_id
 WHERE t.state <> 'revoked'
   AND NOT EXISTS (SELECT 1 FROM booking_seats x WHERE x.show_id = t.show_id AND x.booking_id = t.booking_id
                    AND x.seat_no = t.seat_no AND x.released_at IS NULL AND b.state = 'confirmed')
 ORDER BY 1, 2
