-- The seats of a show that moves to another plan, of which nothing was ever held: away, behind show_seats_lock and show_traces.
-- What remains: the newest fence, and the guids of blocked seats.
WITH gone AS (
  DELETE FROM show_seats s WHERE s.show_id = $1::uuid RETURNING s.seat_no, s.state, s.fence)
SELECT coalesce(max(g.fence), 0) AS fence,
       coalesce(array_agg(p.guid ORDER BY g.seat_no) FILTER (WHERE g.state = 3), '{}') AS blocked
  FROM gone g JOIN shows s ON s.show_id = $1::uuid JOIN plan_seats p ON p.plan_id = s.plan_id AND p.seat_no = g.seat_no
