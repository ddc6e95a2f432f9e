-- Bookings were confirmed or cancelled ($1: events as of consumer_events_json): who has booked what, and from it what buyers of an
-- event also booked. It does not matter how often an event comes nor which of them comes first: it says only whose bookings to look
-- at; whether one stands is asked of the bookings as they are now, and counts move by the difference to what was counted. Of a person
-- 50 events count. Who is erased has no hash and is not found any more. Locks the person's rows and the pairs, these in order.
WITH told AS (
  SELECT DISTINCT (e ->> 'show_id')::uuid AS show_id, (e -> 'data' ->> 'booking_id')::uuid AS booking_id
    FROM jsonb_array_elements($1::jsonb) e
   WHERE e ->> 'type' IN ('booking.confirmed', 'booking.cancelled')),
touched AS (
  SELECT DISTINCT b.organizer_id, y.email_hash AS person, b.event_id
    FROM told t
    JOIN bookings b ON b.show_id = t.show_id AND b.booking_id = t.booking_id
    JOIN buyers y ON y.buyer_id = b.buyer_id AND y.email_hash <> ''),
standing AS (
  SELECT t.organizer_id, t.person, t.event_id,
         EXISTS (SELECT 1 FROM buyers y JOIN bookings b ON b.buyer_id = y.buyer_id
                  WHERE y.email_hash = t.person AND y.organizer_id = t.organizer_id AND b.event_id = t.event_id
                    AND b.state = 'confirmed') AS booked
    FROM touched t),
person AS (SELECT DISTINCT t.organizer_id, t.person FROM touched t),
before AS (
  SELECT r.organizer_id, r.person, r.event_id FROM person p
    JOIN recommend_booked r ON r.organizer_id = p.organizer_id AND r.person = p.person),
come AS (
  INSERT INTO recommend_booked (organizer_id, person, event_id)
  SELECT s.organizer_id, s.person, s.event_id FROM standing s
   WHERE s.booked AND (SELECT count(*) FROM before b WHERE b.organizer_id = s.organizer_id AND b.person = s.person) < 50
   ORDER BY 1, 2, 3
  ON CONFLICT DO NOTHING
  RETURNING organizer_id, person, event_id),
gone AS (
  DELETE FROM recommend_booked r USING standing s
   WHERE NOT s.booked AND r.organizer_id = s.organizer_id AND r.person = s.person AND r.event_id = s.event_id
  RETURNING r.organizer_id, r.person, r.event_id),
after AS (
  (SELECT b.organizer_id, b.person, b.event_id FROM before b EXCEPT SELECT g.organizer_id, g.person, g.event_id FROM gone g)
  UNION ALL SELECT c.organizer_id, c.person, c.event_id FROM come c),
change AS (
  SELECT x.event_id, x.other_id, sum(x.n)::int AS n
    FROM (SELECT a.event_id, o.event_id AS other_id, 1 AS n FROM after a
            JOIN after o ON o.organizer_id = a.organizer_id AND o.person = a.person AND o.event_id <> a.event_id
          UNION ALL
          SELECT b.event_id, o.event_id, -1 FROM before b
            JOIN before o ON o.organizer_id = b.organizer_id AND o.person = b.person AND o.event_id <> b.event_id) x
   GROUP BY x.event_id, x.other_id HAVING sum(x.n) <> 0)
INSERT INTO recommend_pairs AS p (event_id, other_id, persons)
SELECT c.event_id, c.other_id, c.n FROM change c
 WHERE c.n > 0 OR EXISTS (SELECT 1 FROM recommend_pairs q WHERE q.event_id = c.event_id AND q.other_id = c.other_id)
 ORDER BY c.event_id, c.other_id
ON CONFLICT (event_id, other_id) DO UPDATE SET persons = greatest(p.persons + EXCLUDED.persons, 0)
