-- Oldest program: 0009
--
-- What every event needs: a version of what it is about. Bookings, payments and seats have one; shows, refunds and tickets get
-- theirs. And a topic for shows.
--
-- Expands only: the program of before works on, its shows, refunds and tickets keep the version they have. The columns cost nothing
-- (a constant default is kept once for the table); the check of the topic is swapped for a wider one, which what is there satisfies
-- already: so it is not looked through (NOT VALID), and the table is shut for a moment only.
--
-- Ahead: CREATE INDEX CONCURRENTLY IF NOT EXISTS outbox_queue ON outbox (outbox_partition(show_id), seq);

ALTER TABLE shows ADD COLUMN IF NOT EXISTS version int NOT NULL DEFAULT 1;
ALTER TABLE refunds ADD COLUMN IF NOT EXISTS version int NOT NULL DEFAULT 1;
ALTER TABLE tickets ADD COLUMN IF NOT EXISTS version int NOT NULL DEFAULT 1;

ALTER TABLE outbox DROP CONSTRAINT outbox_topic_check,
  ADD CONSTRAINT outbox_topic_check CHECK (topic IN ('seat', 'booking', 'payment', 'ticket', 'show')) NOT VALID;

-- How the relay finds what is next (the column and the function are of 0012, so here it can be made ahead).
CREATE INDEX IF NOT EXISTS outbox_queue ON outbox (outbox_partition(show_id), seq);

-- What is told of a show: as it is now, whatever has changed. p_was: when it was to begin before it was put off; p_job: the work on
-- its bookings that follows. A function, because four statements tell it; it reads nothing but the row.
CREATE FUNCTION show_event(p_type text, p_show shows, p_was timestamptz DEFAULT NULL, p_job uuid DEFAULT NULL) RETURNS json
LANGUAGE sql STABLE AS $$
  SELECT json_strip_nulls(json_build_object(
    'type', p_type, 'show_id', p_show.show_id, 'version', p_show.version, 'event_id', p_show.event_id,
    'organizer_id', p_show.organizer_id, 'venue_id', p_show.venue_id, 'plan_id', p_show.plan_id, 'status', p_show.status,
    'starts_at', to_char(p_show.starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'timezone', p_show.timezone,
    'previous_starts_at', to_char(p_was AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'refund_until', CASE WHEN isfinite(p_show.refund_until)
                         THEN to_char(p_show.refund_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') END,
    'sale_starts_at', to_char(p_show.sale_starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'sale_ends_at', to_char(p_show.sale_ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'currency', p_show.currency, 'capacity', p_show.capacity, 'job_id', p_job));
$$;
GRANT EXECUTE ON FUNCTION show_event TO boxoffice_app;

-- What seat_lock_batch (0002) tells names the show, and why a lock was released: another of its owner has taken its place. Nothing
-- else of the function changes, so only these words of it are written anew.
DO $make$
DECLARE
  v_was text := pg_get_functiondef('seat_lock_batch'::regproc);
  v_new text := replace(replace(v_was,
    $a$json_build_object('type', 'seat.lock_expired', 'lock_id', l.lock_id,$a$,
    $b$json_build_object('type', 'seat.lock_expired', 'show_id', p_show, 'lock_id', l.lock_id,$b$),
    $a$SELECT abs(w.req) AS req, json_build_object(
                   'type', CASE WHEN w.req > 0 THEN 'seat.locked' ELSE 'seat.released' END,
                   'lock_id', CASE WHEN w.req > 0 THEN p_lock[w.req] ELSE p_replaces[-w.req] END,
                   'seats', json_object_agg(w.seat_no, w.fence + 1)) AS j$a$,
    $b$SELECT abs(w.req) AS req, CASE WHEN w.req > 0
                   THEN json_build_object('type', 'seat.locked', 'show_id', p_show, 'lock_id', p_lock[w.req],
                     'seats', json_object_agg(w.seat_no, w.fence + 1))
                   ELSE json_build_object('type', 'seat.released', 'show_id', p_show, 'lock_id', p_replaces[-w.req],
                     'reason', 'replaced', 'seats', json_object_agg(w.seat_no, w.fence + 1)) END AS j$b$);
BEGIN
  IF v_new NOT LIKE '%''seat.lock_expired'', ''show_id''%' OR v_new NOT LIKE '%''reason'', ''replaced''%' THEN
    RAISE EXCEPTION 'seat_lock_batch is not as 0002 made it';
  END IF;
  EXECUTE v_new;
END $make$;
