-- A hundred thousand events with a show each, in a thousand venues of a hundred cities. The index of likeness is made at the
-- end: row by row it takes three times as long.
INSERT INTO organizers (organizer_id, name) VALUES ('00000000-0000-0000-0000-0000000000aa', 'o');
INSERT INTO venues (venue_id, organizer_id, name, timezone, city)
  SELECT gen_random_uuid(), '00000000-0000-0000-0000-0000000000aa', 'v' || i, 'UTC', 'City ' || i % 100 FROM generate_series(1, 1000) i;
INSERT INTO seating_plans (plan_id, organizer_id, venue_id, version, name, seats, categories, document)
  SELECT gen_random_uuid(), organizer_id, venue_id, 1, 'p', 1, '{a}', '{}' FROM venues;
DO $$
DECLARE
  v_likeness text := pg_get_indexdef('events_by_likeness'::regclass);
BEGIN
  DROP INDEX events_by_likeness;
  INSERT INTO events (event_id, organizer_id, name, category, status)
    SELECT ('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid, '00000000-0000-0000-0000-0000000000aa',
           (ARRAY['Hamlet', 'Macbeth', 'Swan Lake', 'Carmen', 'Aida', 'Tosca', 'Faust', 'Medea'])[1 + i % 8] || ' '
             || substr(md5(i::text), 1, 6) || ' common', 'category ' || i % 200, 'published'
      FROM generate_series(1, 100000) i;
  EXECUTE v_likeness;
END $$;
INSERT INTO shows (show_id, organizer_id, event_id, venue_id, plan_id, status, starts_at, local_starts_at, timezone,
                   sale_starts_at, sale_ends_at, currency, prices, capacity)
  SELECT gen_random_uuid(), e.organizer_id, e.event_id, p.venue_id, p.plan_id, 'published', now() + (1 + e.i % 1000) * interval '1 hour',
         now(), 'UTC', now(), now() + interval '1 day', 'EUR', '{1}', 1
    FROM (SELECT *, row_number() OVER (ORDER BY event_id) AS i FROM events) e
    JOIN (SELECT *, row_number() OVER () AS j FROM seating_plans) p ON p.j = 1 + e.i % 1000;
