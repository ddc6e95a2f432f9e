-- A show of the organiser's own event on the organiser's own plan, with a row for every seat; nothing when the id is there
-- already. found: event and plan are theirs.
WITH base AS (
  SELECT e.event_id, p.plan_id, p.venue_id, p.seats, v.timezone
    FROM events e, seating_plans p JOIN venues v ON v.venue_id = p.venue_id
   WHERE e.event_id = $2::uuid AND e.organizer_id = $3::uuid AND p.plan_id = $4::uuid AND p.organizer_id = $3::uuid),
made AS (
  INSERT INTO shows AS s (show_id, organizer_id, event_id, venue_id, plan_id, status, starts_at, local_starts_at, timezone,
                     sale_starts_at, sale_ends_at, currency, prices, capacity, cancel_until, cancel_fee_minor, request_hash, transferable, verification)
  SELECT $1::uuid, $3::uuid, b.event_id, b.venue_id, b.plan_id, $5::text, $6::timestamptz,
         $6::timestamptz AT TIME ZONE b.timezone, b.timezone, $7::timestamptz, $8::timestamptz, $9::text, $10::bigint[],
         b.seats, $11::timestamptz, $12::bigint, $13::bytea, $14::boolean, $16::text
    FROM base b
  ON CONFLICT (show_id) DO NOTHING
  RETURNING s.show_id, s.plan_id, show_event('show.created', s) AS event),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events) SELECT m.show_id, $15::uuid, 'show', json_build_array(m.event) FROM made m),
seats AS (
  INSERT INTO show_seats (show_id, seat_no, category)
  SELECT m.show_id, s.seat_no, s.category FROM made m JOIN plan_seats s ON s.plan_id = m.plan_id ORDER BY s.seat_no)
SELECT (SELECT count(*) FROM base)::int AS found, (SELECT count(*) FROM made)::int AS made
