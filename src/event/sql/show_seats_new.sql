-- The seats of a show on its new plan $2, behind show_seats_gone: those whose guid was blocked ($4) are again. Their fence is
-- newer than any before ($3), so that nothing that is still under way to Redis counts.
INSERT INTO show_seats (show_id, seat_no, category, state, fence)
SELECT $1::uuid, p.seat_no, p.category, CASE WHEN p.guid = ANY ($4::text[]) THEN 3 ELSE 0 END, $3::int + 1
  FROM plan_seats p WHERE p.plan_id = $2::uuid ORDER BY p.seat_no
