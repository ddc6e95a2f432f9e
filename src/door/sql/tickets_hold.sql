-- Tickets of a show that are about to be let in, by their ids. Locks their rows by seat, as a cancellation does, so that neither waits
-- for the other in a circle; what is decided afterwards in this transaction is decided on what is true then.
SELECT t.ticket_id FROM tickets t
 WHERE t.show_id = $1::uuid AND t.ticket_id = ANY ($2::uuid[])
 ORDER BY t.seat_no, t.ticket_id FOR NO KEY UPDATE
