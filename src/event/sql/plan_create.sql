-- The next version of a venue's plan with its seats; nothing when the id is there already. Runs in one transaction with
-- venue_lock, after it: the version is one more than the greatest that can be seen, and nobody else is counting.
WITH place AS (
  SELECT v.venue_id FROM venues v WHERE v.venue_id = $2::uuid AND v.organizer_id = $3::uuid),
made AS (
  INSERT INTO seating_plans (plan_id, venue_id, organizer_id, version, name, seats, categories, document, request_hash)
  SELECT $1::uuid, p.venue_id, $3::uuid,
         1 + coalesce((SELECT max(s.version) FROM seating_plans s WHERE s.venue_id = $2::uuid), 0),
         $4::text, cardinality($8::text[]), $5::text[], ($6::text)::json, $7::bytea
    FROM place p
  ON CONFLICT (plan_id) DO NOTHING
  RETURNING plan_id),
seats AS (
  INSERT INTO plan_seats (plan_id, seat_no, guid, category, zone, row_label, label)
  SELECT m.plan_id, (u.n - 1)::int, u.guid, u.category, u.zone, u.row_label, u.label
    FROM made m, unnest($8::text[], $9::smallint[], $10::text[], $11::text[], $12::text[])
                 WITH ORDINALITY u (guid, category, zone, row_label, label, n))
SELECT (SELECT count(*) FROM place)::int AS places, (SELECT count(*) FROM made)::int AS made
