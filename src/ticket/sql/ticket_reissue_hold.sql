-- A ticket that is about to be issued again, with whose it is. Locks its booking, so that the booking is not cancelled meanwhile.
SELECT t.state, t.booking_id, t.transfer_id, b.session_id, b.organizer_id, b.state AS booking_state
  FROM tickets t
  JOIN bookings b ON b.show_id = t.show_id AND b.booking_id = t.booking_id
 WHERE t.show_id = $1::uuid AND t.ticket_id = $2::uuid
   FOR NO KEY UPDATE OF b
