-- Oldest program: 0005
--
-- What running it for years needs: a state of the whole system that every process looks at, a history of locks that is dropped by
-- the week, vacuum settings for what changes most.
--
-- Expands only: the program of before works on. It takes short locks on seat_lock_history and reads that once (a million ended
-- locks: about half a second, in which the archive and requests with an Idempotency-Key wait).

-- One row. No row at all is what a restored backup has: the table's content is not part of one, so that sales are closed from the
-- first moment on and until somebody has gone through `boxoffice admin restore --finish`.
CREATE TABLE system_state (
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
  sales text NOT NULL CHECK (sales IN ('open', 'closed')),
  reason text NOT NULL DEFAULT '',       -- why they are closed, or were opened: a sentence
  since timestamptz NOT NULL DEFAULT statement_timestamp(),
  restored_to timestamptz,               -- not NULL: a backup of then was restored and its end is still to come
  oldest_program int NOT NULL DEFAULT 0  -- the newest migration that a program must know to be started on this schema
);
INSERT INTO system_state (sales) VALUES ('open');
GRANT SELECT, INSERT, UPDATE ON system_state TO boxoffice_app;

-- ---- ended locks, by week ------------------------------------------------------------------------------------------

-- What was written so far becomes the first part, up to the end of this week; the default is empty from then on and only gets
-- what no week was made for. Weeks are made ahead, so that attaching one never has rows to look through.
ALTER TABLE seat_lock_history DETACH PARTITION seat_lock_history_default;
ALTER TABLE seat_lock_history_default RENAME TO seat_lock_history_before;
DO $$ BEGIN
  EXECUTE format('ALTER TABLE seat_lock_history ATTACH PARTITION seat_lock_history_before FOR VALUES FROM (MINVALUE) TO (%L)',
                 date_trunc('week', statement_timestamp(), 'UTC') + interval '7 days');
END $$;
CREATE TABLE seat_lock_history_default PARTITION OF seat_lock_history DEFAULT;
GRANT SELECT, DELETE ON seat_lock_history_default TO boxoffice_app;

-- Makes the weeks that have not begun, p_weeks of them; how many it made. The program owns nothing, so this runs as the owner.
-- Locks: seat_lock_history against other changes of its form, not against reading or writing; the (empty) default for a moment,
-- which it waits for a tenth of a second and else is called again.
CREATE FUNCTION seat_lock_history_ahead(p_weeks int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '100ms' AS $$
DECLARE
  v_from timestamptz;
  v_name text;
  v_made int := 0;
BEGIN
  FOR i IN 1 .. least(p_weeks, 52) LOOP
    v_from := date_trunc('week', statement_timestamp(), 'UTC') + i * interval '7 days';
    v_name := 'seat_lock_history_' || to_char(v_from AT TIME ZONE 'UTC', 'YYYYMMDD');
    CONTINUE WHEN to_regclass(v_name) IS NOT NULL;
    -- made apart and attached: made as a partition it would shut everybody out of the whole history
    EXECUTE format('CREATE TABLE %I (LIKE seat_lock_history INCLUDING DEFAULTS)', v_name);
    EXECUTE format('ALTER TABLE seat_lock_history ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', v_name, v_from,
                   v_from + interval '7 days');
    v_made := v_made + 1;
  END LOOP;
  RETURN v_made;
END $$;

-- Drops the weeks of which nothing is as young as p_keep; how many. Not less than a day: a lock that is being paid may be half an
-- hour old. Locks the whole history for a moment, which it waits for a tenth of a second and else is called again.
CREATE FUNCTION seat_lock_history_drop(p_keep interval) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '100ms' AS $$
DECLARE
  v_week record;
  v_dropped int := 0;
BEGIN
  FOR v_week IN
    SELECT c.oid::regclass AS name, substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)')::timestamptz AS til
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'seat_lock_history'::regclass ORDER BY 2
  LOOP
    CONTINUE WHEN v_week.til IS NULL OR v_week.til > statement_timestamp() - greatest(p_keep, interval '1 day');
    EXECUTE format('ALTER TABLE seat_lock_history DETACH PARTITION %s', v_week.name);
    EXECUTE format('DROP TABLE %s', v_week.name);
    v_dropped := v_dropped + 1;
  END LOOP;
  RETURN v_dropped;
END $$;

REVOKE ALL ON FUNCTION seat_lock_history_ahead, seat_lock_history_drop FROM PUBLIC;
GRANT EXECUTE ON FUNCTION seat_lock_history_ahead, seat_lock_history_drop TO boxoffice_app;
SELECT seat_lock_history_ahead(4);

-- What a person has settled is kept for a while, not for ever.
GRANT DELETE ON payment_findings TO boxoffice_app;

-- ---- vacuum --------------------------------------------------------------------------------------------------------

-- Autovacuum counts by the part of a table that has died, a fifth: of an outbox with ten million rows that is two million, and
-- then it pauses after every few pages. What is written anew all day is vacuumed earlier and without pauses. (Small tables are
-- looked after by the defaults as well: there autovacuum_naptime decides. docs/operations.md has figures.)
ALTER TABLE seat_locks SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE show_seats SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0);
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE bookings SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
ALTER TABLE payments SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
ALTER TABLE payment_calls SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
-- one row each, written time and again: a page or two, if somebody looks
ALTER TABLE leases SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200, fillfactor = 50);
