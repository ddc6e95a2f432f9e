-- Oldest program: 0009
--
-- Webhooks of organisers: where events of their shows are sent to, and each event on its way there. Adds only: the program of
-- before works on. Nothing here is on a path of buyers, and nothing is distributed by show.

-- An address of an organiser's. Its secrets are sealed with a key derived from the master key. A deleted one loses its secrets at
-- once and its row when its last delivery has been purged.
--   enabled <-> disabled (by the staff);  enabled -> suspended (by the program: failed for long, or 410) -> enabled | disabled;
--   any -> deleted
CREATE TABLE webhook_endpoints (
  webhook_id uuid PRIMARY KEY,
  organizer_id uuid NOT NULL REFERENCES organizers,
  url text NOT NULL,
  description text NOT NULL DEFAULT '',
  event_types text[] NOT NULL,             -- 'booking.confirmed', 'booking.*', '*'
  state text NOT NULL CHECK (state IN ('enabled', 'disabled', 'suspended', 'deleted')),
  state_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  suspended_why text NOT NULL DEFAULT '' CHECK (suspended_why IN ('', 'failing', 'gone')),
  secret bytea NOT NULL,
  old_secret bytea NOT NULL DEFAULT '',    -- signs too until old_secret_ends_at
  old_secret_ends_at timestamptz NOT NULL DEFAULT '-infinity',
  rotation_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000', -- the request that made the secret; zeros: the first one
  rotation_hash bytea NOT NULL DEFAULT '',
  created_by uuid NOT NULL,                -- a user, or an API token
  request_hash bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  failures int NOT NULL DEFAULT 0,         -- in a row
  failing_since timestamptz,               -- the first of them
  resume_at timestamptz NOT NULL DEFAULT '-infinity', -- nothing is sent before
  last_success_at timestamptz,
  last_failure_at timestamptz,
  last_status int NOT NULL DEFAULT 0,      -- of HTTP; 0: no answer
  last_error text NOT NULL DEFAULT '',
  dropped bigint NOT NULL DEFAULT 0,       -- events that found the queue full
  dropped_at timestamptz
) WITH (fillfactor = 50);
CREATE INDEX webhook_endpoints_by_organizer ON webhook_endpoints (organizer_id, webhook_id) WHERE state <> 'deleted';

-- An event on its way to an endpoint, with the bytes that are sent. (webhook_id, event_id) is what makes the consumer idempotent.
--   queued -> delivered | failed (given up);  delivered | failed -> queued (asked for again)
CREATE TABLE webhook_deliveries (
  webhook_id uuid NOT NULL REFERENCES webhook_endpoints,
  event_id text NOT NULL,
  delivery_id uuid NOT NULL DEFAULT gen_random_uuid(),
  seq bigint GENERATED ALWAYS AS IDENTITY, -- the order in which the events of one aggregate came
  type text NOT NULL,
  aggregate text NOT NULL,
  event_at timestamptz NOT NULL,
  body text NOT NULL,
  state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'delivered', 'failed')),
  attempts int NOT NULL DEFAULT 0,         -- begun since it was queued last
  next_at timestamptz NOT NULL DEFAULT statement_timestamp(), -- not sooner; while one is under way: when it is taken for lost
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  last_attempt_at timestamptz,
  ended_at timestamptz,
  last_status int NOT NULL DEFAULT 0,
  last_error text NOT NULL DEFAULT '',
  took_ms int NOT NULL DEFAULT 0,
  PRIMARY KEY (webhook_id, event_id)
);
CREATE UNIQUE INDEX webhook_deliveries_by_id ON webhook_deliveries (webhook_id, delivery_id);
CREATE INDEX webhook_deliveries_by_time ON webhook_deliveries (webhook_id, created_at, delivery_id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_at, seq) WHERE state = 'queued';
CREATE INDEX webhook_deliveries_in_order ON webhook_deliveries (webhook_id, aggregate, seq) WHERE state = 'queued';
CREATE INDEX webhook_deliveries_by_age ON webhook_deliveries USING brin (created_at) WITH (autosummarize = on);
ALTER TABLE webhook_deliveries SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- Events of a time, sent to an endpoint once more. It goes through the log of events, partition by partition, and waits while the
-- queue is full. At most one of an endpoint is running.
--   running -> done | cancelled (its endpoint was deleted)
CREATE TABLE webhook_replays (
  replay_id uuid PRIMARY KEY,
  webhook_id uuid NOT NULL REFERENCES webhook_endpoints,
  from_at timestamptz NOT NULL,
  to_at timestamptz NOT NULL,
  state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'cancelled')),
  partition int NOT NULL DEFAULT 0,        -- where it is in the log
  position bigint NOT NULL DEFAULT 0,
  events bigint NOT NULL DEFAULT 0,        -- queued so far
  request_hash bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  ended_at timestamptz,
  CHECK (from_at < to_at)
);
CREATE UNIQUE INDEX webhook_replays_running ON webhook_replays (webhook_id) WHERE state = 'running';
CREATE INDEX webhook_replays_of ON webhook_replays (webhook_id, created_at);

-- What the program does by itself to something of an organiser's stands in the audit log too. Its rows are of the new kind from now
-- on; those there are need no look.
ALTER TABLE audit_log DROP CONSTRAINT audit_log_actor_kind_check,
  ADD CONSTRAINT audit_log_actor_kind_check CHECK (actor_kind IN ('user', 'token', 'operator', 'unknown', 'program')) NOT VALID;

GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_endpoints, webhook_deliveries, webhook_replays TO boxoffice_app;
