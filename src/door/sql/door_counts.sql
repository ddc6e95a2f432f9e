-- How many of a show's tickets are in, by zone and category, and how often a code was refused, by reason. Rows of the one kind have no
-- reason, rows of the other no zone. Reads only; the show's tickets and refusals once each.
SELECT p.zone, p.category, count(*) FILTER (WHERE t.state = 'used') AS used, count(*) AS n, '' AS reason
  FROM tickets t
  JOIN plan_seats p ON p.plan_id = $2::uuid AND p.seat_no = t.seat_no
 WHERE t.show_id = $1::uuid AND t.state <> 'revoked'
 GROUP BY p.zone, p.category
UNION ALL
SELECT '', 0::smallint, 0, count(*), c.reason FROM checkins c WHERE c.show_id = $1::uuid AND c.result = 'refused' GROUP BY c.reason
