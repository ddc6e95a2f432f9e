-- The seats of a show that moves to another plan, of which nothing was ever held: away, behind show_seats_lock and show_traces.
-- What remains: the newest fence, the guids of blocked seats, and, of those of which somebody said it, why and since when.
WITH gone AS (
  DELETE FROM show_seats s WHERE s.show_id = $1::uuid RETURNING s.seat_no, s.state, s.fence),
why AS (
  DELETE FROM seat_blocks b WHERE b.show_id = $1::uuid RETURNING b.seat_no, b.reason, b.blocked_at),
said AS (
  SELECT coalesce(array_agg(p.guid ORDER BY w.seat_no), '{}') AS guids, coalesce(array_agg(w.reason ORDER BY w.seat_no), '{}') AS reasons,
         coalesce(array_agg(w.blocked_at::text ORDER BY w.seat_no), '{}') AS times
    FROM why w JOIN shows s ON s.show_id = $1::uuid JOIN plan_seats p ON p.plan_id = s.plan_id AND p.seat_no = w.seat_no),
seats AS (
  SELECT coalesce(max(g.fence), 0) AS fence,
         coalesce(array_agg(p.guid ORDER BY g.seat_no) FILTER (WHERE g.state = 3), '{}') AS blocked
    FROM gone g JOIN shows s ON s.show_id = $1::uuid JOIN plan_seats p ON p.plan_id = s.plan_id AND p.seat_no = g.seat_no)
SELECT t.fence, t.blocked, y.guids, y.reasons, y.times FROM seats t, said y
