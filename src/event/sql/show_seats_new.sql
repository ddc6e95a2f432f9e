-- The seats of a show on its new plan $2, behind show_seats_gone: those whose guid was blocked ($4) are again, and why ($5 guids, $6
-- reasons, $7 times) goes with the guid. Their fence is newer than any before ($3), so that nothing that is still under way to Redis
-- counts. Whoever was told of seats by their number hears ($8) that the numbers mean others now.
WITH why AS (
  INSERT INTO seat_blocks (show_id, seat_no, reason, blocked_at)
  SELECT $1::uuid, p.seat_no, w.reason, w.blocked_at::timestamptz
    FROM unnest($5::text[], $6::text[], $7::text[]) AS w (guid, reason, blocked_at)
    JOIN plan_seats p ON p.plan_id = $2::uuid AND p.guid = w.guid),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $8::uuid, 'seat', json_build_array(json_build_object('type', 'seat.renumbered', 'show_id', $1::uuid, 'plan_id', $2::uuid,
           'count', count(*), 'version', $3::int + 1,
           'blocked', coalesce(json_agg(p.seat_no ORDER BY p.seat_no) FILTER (WHERE p.guid = ANY ($4::text[])), '[]')))
    FROM plan_seats p WHERE p.plan_id = $2::uuid)
INSERT INTO show_seats (show_id, seat_no, category, state, fence)
SELECT $1::uuid, p.seat_no, p.category, CASE WHEN p.guid = ANY ($4::text[]) THEN 3 ELSE 0 END, $3::int + 1
  FROM plan_seats p WHERE p.plan_id = $2::uuid ORDER BY p.seat_no
