-- Waits for whoever is taking seats of the show: afterwards what they took can be seen (show_traces), and nobody takes more
-- before the end of the transaction. Locks all rows of the show's seats, ascending, behind show_lock.
SELECT count(*)::int AS seats
  FROM (SELECT s.seat_no FROM show_seats s WHERE s.show_id = $1::uuid ORDER BY s.seat_no FOR UPDATE) x
