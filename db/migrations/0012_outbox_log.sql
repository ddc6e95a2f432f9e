-- Oldest program: 0009
--
-- Events out: what is out is apart from what is not.
--
--   outbox            what services write: the queue of what is not out yet. Moved on by the relay, whole rows at a time.
--   outbox_partitions sixteen; one relay at a time has one. The last position given out.
--   outbox_log        what is out, by partition and position, dropped by the day
--   outbox_parked     single events that the broker refuses, or that are none, and those that wait behind them
--   consumer_cursors  how far each reader of the log is
--
-- Expands only: the program of before works on. It takes a short lock on outbox; the index that the relay finds its rows by comes with
-- 0016, ahead, so that nobody waits for it.

-- Which partition an event belongs to: all of a show are in one.
CREATE FUNCTION outbox_partition(p_show uuid) RETURNS int
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN get_byte(uuid_send(p_show), 15) & 15;

-- The order of an aggregate's events. Who writes one has the aggregate's row locked since before this number is drawn, and until the
-- commit: so of two events of one aggregate the later one has the higher number, and whoever sees the later one sees the earlier one
-- too. (created_at is when a statement began, before it waited for that lock: it has neither property.) Numbers have gaps, and one
-- may become visible after a higher one of another aggregate: nobody may remember the last one he saw and read on from there.
CREATE SEQUENCE outbox_seq;
ALTER TABLE outbox ADD COLUMN seq bigint NOT NULL DEFAULT 0; -- what is there already comes first
ALTER TABLE outbox ALTER COLUMN seq SET DEFAULT nextval('outbox_seq');
GRANT USAGE, SELECT ON SEQUENCE outbox_seq TO boxoffice_app;

DROP INDEX outbox_by_age; -- nobody looks for age in a queue

CREATE TABLE outbox_partitions (
  partition int PRIMARY KEY CHECK (partition BETWEEN 0 AND 15),
  position bigint NOT NULL DEFAULT 0,            -- the last one given out; taking the row's lock makes their order that of the commits
  holder text NOT NULL DEFAULT '',               -- the process whose relay has it
  generation bigint NOT NULL DEFAULT 0,          -- rises with every change of hands: a sleeper moves nothing
  until timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
INSERT INTO outbox_partitions (partition) SELECT generate_series(0, 15);
GRANT SELECT, UPDATE ON outbox_partitions TO boxoffice_app;
GRANT DELETE ON leases TO boxoffice_app; -- of relays that are no more

-- Positions begin at 1 and have no gaps within a partition. Events of one aggregate stand in its order, by position and place in the array.
CREATE TABLE outbox_log (
  partition int NOT NULL,
  position bigint NOT NULL,
  show_id uuid NOT NULL,
  outbox_id uuid NOT NULL,
  topic text NOT NULL,
  events json NOT NULL,
  created_at timestamptz NOT NULL,
  published_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  seq bigint NOT NULL,
  on_broker boolean NOT NULL DEFAULT false       -- a broker has it (but for those of its events that are parked)
) PARTITION BY RANGE (published_at);
CREATE INDEX outbox_log_by_position ON outbox_log (partition, position);
CREATE INDEX outbox_log_by_age ON outbox_log USING brin (published_at) WITH (autosummarize = on);
CREATE TABLE outbox_log_default PARTITION OF outbox_log DEFAULT;
GRANT SELECT, INSERT ON outbox_log TO boxoffice_app;
GRANT SELECT, DELETE ON outbox_log_default TO boxoffice_app;

-- All events within retention, for whoever looks for what happened and not for what is to be done. position NULL: not out yet.
CREATE VIEW outbox_events AS
  SELECT o.show_id, o.outbox_id, o.topic, o.events, o.created_at, o.published_at, outbox_partition(o.show_id) AS partition,
         NULL::bigint AS position, o.seq FROM outbox o
  UNION ALL
  SELECT l.show_id, l.outbox_id, l.topic, l.events, l.created_at, l.published_at, l.partition, l.position, l.seq FROM outbox_log l;
GRANT SELECT ON outbox_events TO boxoffice_app;

-- An event the broker will not take, or that is none, and the later ones of its aggregate, which wait. The rows they came in have gone
-- to the log: consumers that read the log have them.
CREATE TABLE outbox_parked (
  show_id uuid NOT NULL,
  outbox_id uuid NOT NULL,
  place int NOT NULL,                            -- in the array; -1: the row is no array at all
  partition int NOT NULL,
  seq bigint NOT NULL,
  topic text NOT NULL,
  aggregate text NOT NULL,                       -- for people: 'booking <id>'
  event json NOT NULL,
  created_at timestamptz NOT NULL,
  state text NOT NULL CHECK (state IN ('refused', 'waiting', 'skipped')),
  cause text NOT NULL,                           -- of one that is refused: what was said
  tries int NOT NULL DEFAULT 0,
  wish text NOT NULL DEFAULT '' CHECK (wish IN ('', 'retry', 'skip')), -- what somebody asked for; the relay does it
  parked_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  ended_at timestamptz NOT NULL DEFAULT 'infinity', -- of one that is skipped
  PRIMARY KEY (show_id, outbox_id, place)
);
CREATE INDEX outbox_parked_by_order ON outbox_parked (partition, seq, place);
CREATE INDEX outbox_parked_refused ON outbox_parked (parked_at) WHERE state = 'refused';
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox_parked TO boxoffice_app;

-- A reader of the log has done everything up to its position. seen_at: when it last said that it is there; who has not been seen for
-- as long as the log is kept holds nothing back.
CREATE TABLE consumer_cursors (
  consumer text NOT NULL,
  partition int NOT NULL,
  position bigint NOT NULL,
  seen_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  PRIMARY KEY (consumer, partition)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
GRANT SELECT, INSERT, UPDATE, DELETE ON consumer_cursors TO boxoffice_app;

-- Makes the days that have not begun, p_days of them; how many it made. As seat_lock_history_ahead.
CREATE FUNCTION outbox_log_ahead(p_days int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '100ms' AS $$
DECLARE
  v_from timestamptz;
  v_name text;
  v_made int := 0;
BEGIN
  FOR i IN 1 .. least(p_days, 52) LOOP
    v_from := date_trunc('day', statement_timestamp(), 'UTC') + i * interval '1 day';
    v_name := 'outbox_log_' || to_char(v_from AT TIME ZONE 'UTC', 'YYYYMMDD');
    CONTINUE WHEN to_regclass(v_name) IS NOT NULL;
    -- made apart and attached: made as a partition it would shut everybody out of the whole log
    EXECUTE format('CREATE TABLE %I (LIKE outbox_log INCLUDING DEFAULTS)', v_name);
    EXECUTE format('ALTER TABLE outbox_log ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', v_name, v_from, v_from + interval '1 day');
    v_made := v_made + 1;
  END LOOP;
  RETURN v_made;
END $$;

-- Drops the days of which nothing is as young as p_keep, oldest first; how many. Stops at a day of which a consumer that is in use has
-- not read everything. Locks the whole log for a moment, which it waits for a tenth of a second and else is called again.
CREATE FUNCTION outbox_log_drop(p_keep interval) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '100ms' AS $$
DECLARE
  v_day record;
  v_needed boolean;
  v_keep interval := greatest(p_keep, interval '1 day');
  v_dropped int := 0;
BEGIN
  FOR v_day IN
    SELECT c.oid::regclass AS name, substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)')::timestamptz AS til
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'outbox_log'::regclass ORDER BY 2
  LOOP
    CONTINUE WHEN v_day.til IS NULL OR v_day.til > statement_timestamp() - v_keep;
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM consumer_cursors c CROSS JOIN LATERAL (SELECT 1 FROM %s l WHERE l.partition = c.partition'
                   ' AND l.position > c.position LIMIT 1) l WHERE c.seen_at > statement_timestamp() - $1)', v_day.name)
      INTO v_needed USING v_keep;
    EXIT WHEN v_needed;
    EXECUTE format('ALTER TABLE outbox_log DETACH PARTITION %s', v_day.name);
    EXECUTE format('DROP TABLE %s', v_day.name);
    v_dropped := v_dropped + 1;
  END LOOP;
  RETURN v_dropped;
END $$;

REVOKE ALL ON FUNCTION outbox_log_ahead, outbox_log_drop FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox_log_ahead, outbox_log_drop TO boxoffice_app;
GRANT EXECUTE ON FUNCTION outbox_partition TO boxoffice_app;
DO $$ BEGIN -- today
  EXECUTE format('CREATE TABLE %I PARTITION OF outbox_log FOR VALUES FROM (%L) TO (%L)',
                 'outbox_log_' || to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD'),
                 date_trunc('day', statement_timestamp(), 'UTC'), date_trunc('day', statement_timestamp(), 'UTC') + interval '1 day');
END $$;
SELECT outbox_log_ahead(4);
