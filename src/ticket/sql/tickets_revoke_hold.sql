-- The tickets of these seats of a booking that are about to be revoked. Locks their rows by seat, as the door does. A statement of its
-- own before tickets_revoke: one statement alone that waited for a check-in's undo would find the ticket valid and yet, by its snapshot of
-- before, leave it so.
SELECT t.ticket_id FROM tickets t
 WHERE t.show_id = $1::uuid AND t.booking_id = $2::uuid AND t.seat_no = ANY ($3::int[]) AND t.state <> 'revoked'
 ORDER BY t.seat_no FOR NO KEY UPDATE
