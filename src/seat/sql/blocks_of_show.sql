-- The blocked seats of a show from $2 on, in the plan's order, and why; without a reason when nobody gave one. With the plan that numbers
-- them. Reads only.
SELECT s.seat_no, coalesce(b.reason, '') AS reason, b.blocked_at,
       (SELECT w.plan_id FROM shows w WHERE w.show_id = $1::uuid) AS plan_id
  FROM show_seats s
  LEFT JOIN LATERAL (SELECT k.reason, k.blocked_at FROM seat_blocks k
                      WHERE k.show_id = s.show_id AND k.seat_no = s.seat_no LIMIT 1) b ON true
 WHERE s.show_id = $1::uuid AND s.seat_no >= $2::int AND s.state = 3
 ORDER BY s.seat_no LIMIT $3::int
