-- The core tables. PostgreSQL is the source of truth; everything in Redis can be made again from here.
--
-- On the lock, booking and sweep paths show_id leads every key, so that a later distribution by show needs no other SQL.
-- Foreign keys stay inside one show or point to small reference tables. Times are timestamptz; money is in minor units.
-- The program runs as boxoffice_app, which owns nothing.

CREATE TABLE organizers (
  organizer_id uuid PRIMARY KEY,
  name text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
  created_at timestamptz NOT NULL DEFAULT statement_timestamp()
);

CREATE TABLE api_tokens (
  token_id uuid PRIMARY KEY,
  organizer_id uuid NOT NULL REFERENCES organizers,
  name text NOT NULL,
  token_hash bytea NOT NULL UNIQUE,
  scopes text[] NOT NULL,
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  expires_at timestamptz NOT NULL DEFAULT 'infinity',
  revoked_at timestamptz
);

-- ---- event service -------------------------------------------------------------------------------------------------

CREATE TABLE venues (
  venue_id uuid PRIMARY KEY,
  organizer_id uuid NOT NULL REFERENCES organizers,
  name text NOT NULL,
  timezone text NOT NULL,
  city text NOT NULL,
  address text NOT NULL DEFAULT '',
  country text NOT NULL DEFAULT '',
  request_hash bytea NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT statement_timestamp()
);
CREATE INDEX venues_by_organizer ON venues (organizer_id, venue_id);

-- A plan never changes: an upload under the same venue is the next version. The text is kept as it came (json, not jsonb).
CREATE TABLE seating_plans (
  plan_id uuid PRIMARY KEY,
  organizer_id uuid NOT NULL REFERENCES organizers,
  venue_id uuid NOT NULL REFERENCES venues,
  version int NOT NULL CHECK (version > 0),
  name text NOT NULL,
  seats int NOT NULL CHECK (seats > 0),
  categories text[] NOT NULL,
  document json NOT NULL,
  request_hash bytea NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  UNIQUE (venue_id, version)
);

-- The seats of a plan version, numbered in document order: seat_no is what everything else calls a seat.
CREATE TABLE plan_seats (
  plan_id uuid NOT NULL REFERENCES seating_plans,
  seat_no int NOT NULL,
  guid text NOT NULL,
  category smallint NOT NULL,
  zone text NOT NULL,
  row_label text NOT NULL,
  label text NOT NULL,
  PRIMARY KEY (plan_id, seat_no)
);

CREATE TABLE events (
  event_id uuid PRIMARY KEY,
  organizer_id uuid NOT NULL REFERENCES organizers,
  name text NOT NULL,
  category text NOT NULL DEFAULT '',
  description text NOT NULL DEFAULT '',
  status text NOT NULL CHECK (status IN ('draft', 'published', 'cancelled')),
  max_per_payer int CHECK (max_per_payer > 0),
  request_hash bytea NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT statement_timestamp()
);
CREATE INDEX events_by_organizer ON events (organizer_id, event_id);

CREATE TABLE shows (
  show_id uuid PRIMARY KEY,
  organizer_id uuid NOT NULL REFERENCES organizers,
  event_id uuid NOT NULL REFERENCES events,
  venue_id uuid NOT NULL REFERENCES venues,
  plan_id uuid NOT NULL REFERENCES seating_plans,
  status text NOT NULL CHECK (status IN ('draft', 'published', 'cancelled')),
  starts_at timestamptz NOT NULL,
  local_starts_at timestamp NOT NULL, -- wall time at the venue: what was promised, should the zone's rules change
  timezone text NOT NULL,
  sale_starts_at timestamptz NOT NULL,
  sale_ends_at timestamptz NOT NULL,
  currency char(3) NOT NULL,
  prices bigint[] NOT NULL, -- by category of the plan, from 0
  capacity int NOT NULL CHECK (capacity > 0),
  cancel_until timestamptz NOT NULL DEFAULT '-infinity', -- buyers may cancel before it
  cancel_fee_minor bigint NOT NULL DEFAULT 0 CHECK (cancel_fee_minor >= 0), -- per booking
  request_hash bytea NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  CHECK (sale_starts_at < sale_ends_at)
);
CREATE INDEX shows_by_event ON shows (event_id, starts_at, show_id);
CREATE INDEX shows_by_sale_end ON shows (sale_ends_at);

-- ---- seat service --------------------------------------------------------------------------------------------------

-- One row per seat of a show, made with the show. No changing column is in an index and none is NULL that will be filled,
-- so that every update is HOT: rows are loaded with room left on the page (fillfactor of the load), see show_create.
--   state 0 free, 1 locked, 2 booked, 3 blocked
-- fence counts the changes of the seat: whoever hears of two states knows which is newer.
CREATE TABLE show_seats (
  show_id uuid NOT NULL REFERENCES shows,
  seat_no int NOT NULL,
  category smallint NOT NULL,
  state smallint NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 3),
  fence int NOT NULL DEFAULT 0,
  lock_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
  expires_at timestamptz NOT NULL DEFAULT '-infinity',
  PRIMARY KEY (show_id, seat_no)
) WITH (fillfactor = 45, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.5);

-- Locks that are alive, and ended ones for a few minutes; then they move to seat_lock_history.
--   active -> released | expired | paying;  paying -> active | expired | booked | abandoned
CREATE TABLE seat_locks (
  show_id uuid NOT NULL,
  lock_id uuid NOT NULL,
  session_id uuid NOT NULL,
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'released', 'expired', 'paying', 'booked', 'abandoned')),
  seats int[] NOT NULL,      -- ascending
  prices bigint[] NOT NULL,  -- the same order
  categories smallint[] NOT NULL,
  total_minor bigint NOT NULL,
  currency char(3) NOT NULL,
  created_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL, -- never changes
  ended_at timestamptz NOT NULL DEFAULT 'infinity',
  notify_buyer uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
  request_hash bytea NOT NULL DEFAULT '',
  PRIMARY KEY (show_id, lock_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX seat_locks_by_expiry ON seat_locks (expires_at);
CREATE INDEX seat_locks_by_session ON seat_locks (session_id, show_id);

CREATE TABLE seat_lock_history (
  LIKE seat_locks INCLUDING DEFAULTS
) PARTITION BY RANGE (created_at);
CREATE INDEX seat_lock_history_by_id ON seat_lock_history (show_id, lock_id);
CREATE TABLE seat_lock_history_default PARTITION OF seat_lock_history DEFAULT;

-- ---- booking service -----------------------------------------------------------------------------------------------

-- The only place where a person's name and address stand.
CREATE TABLE buyers (
  buyer_id uuid PRIMARY KEY,
  organizer_id uuid NOT NULL REFERENCES organizers,
  name text NOT NULL,
  email text NOT NULL,
  email_hash bytea NOT NULL,
  locale text NOT NULL DEFAULT 'en',
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  erased_at timestamptz
);
CREATE INDEX buyers_by_email ON buyers (email_hash);

--   payment_pending -> confirmed -> cancelled;  payment_pending -> failed
CREATE TABLE bookings (
  show_id uuid NOT NULL REFERENCES shows,
  booking_id uuid NOT NULL,
  organizer_id uuid NOT NULL REFERENCES organizers,
  event_id uuid NOT NULL,
  lock_id uuid NOT NULL,
  session_id uuid NOT NULL,
  buyer_id uuid NOT NULL,
  reference text NOT NULL,
  state text NOT NULL CHECK (state IN ('payment_pending', 'confirmed', 'cancelled', 'failed')),
  seats int[] NOT NULL,
  prices bigint[] NOT NULL,
  categories smallint[] NOT NULL,
  total_minor bigint NOT NULL,
  currency char(3) NOT NULL,
  fee_kept_minor bigint NOT NULL DEFAULT 0,
  reason text NOT NULL DEFAULT '', -- of its end: 'buyer', 'staff', 'payment_lost', 'lock_ended', ...
  version int NOT NULL DEFAULT 1,
  request_hash bytea NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  confirmed_at timestamptz,
  ended_at timestamptz,
  PRIMARY KEY (show_id, booking_id),
  UNIQUE (show_id, lock_id)
);
CREATE INDEX bookings_by_session ON bookings (session_id);
CREATE INDEX bookings_by_reference ON bookings (reference);
CREATE INDEX bookings_by_buyer ON bookings (buyer_id);
CREATE INDEX bookings_pending ON bookings (created_at) WHERE state = 'payment_pending';

CREATE TABLE booking_seats (
  show_id uuid NOT NULL,
  booking_id uuid NOT NULL,
  seat_no int NOT NULL,
  price_minor bigint NOT NULL,
  refund_minor bigint NOT NULL DEFAULT 0,
  released_at timestamptz,
  PRIMARY KEY (show_id, booking_id, seat_no),
  FOREIGN KEY (show_id, booking_id) REFERENCES bookings
);
-- The database itself refuses a double booking, whatever the code above does.
CREATE UNIQUE INDEX booking_seats_one_owner ON booking_seats (show_id, seat_no) WHERE released_at IS NULL;

-- ---- payment service -----------------------------------------------------------------------------------------------

-- One row per attempt.
--   created -> requires_action -> authorised -> captured;  -> failed | voided | abandoned;  authorised -> capture_failed
CREATE TABLE payments (
  show_id uuid NOT NULL,
  payment_id uuid NOT NULL,
  booking_id uuid NOT NULL,
  lock_id uuid NOT NULL,
  attempt_no int NOT NULL,
  request_id uuid NOT NULL, -- of the Idempotency-Key that asked for it
  request_hash bytea NOT NULL,
  state text NOT NULL CHECK (state IN ('created', 'requires_action', 'authorised', 'captured', 'failed', 'voided',
                                       'abandoned', 'capture_failed')),
  version int NOT NULL DEFAULT 1,    -- counts arrows: the order of what is told about it
  generation int NOT NULL DEFAULT 1, -- raised by whoever takes over; a sleeper's next step then finds nothing to do
  amount_minor bigint NOT NULL CHECK (amount_minor > 0),
  currency char(3) NOT NULL,
  method text NOT NULL,     -- the gateway's token of the card
  return_url text NOT NULL DEFAULT '',
  intent_id text NOT NULL DEFAULT '',
  action_url text NOT NULL DEFAULT '',
  failure text NOT NULL DEFAULT '', -- of its end: 'declined', 'unavailable', 'seats_lost', 'time_over', 'capture_refused'
  decline_code text NOT NULL DEFAULT '',
  void_wanted boolean NOT NULL DEFAULT false, -- ended here; the gateway still has to be told
  action_until timestamptz NOT NULL, -- 3-D Secure is waited for until then
  hold_until timestamptz NOT NULL,   -- nothing is waited for any longer
  settle_at timestamptz NOT NULL,    -- when somebody should look at it again; 'infinity' when nothing is open
  ask_after timestamptz NOT NULL,    -- whoever is asked about it may look then
  settle_tries int NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  PRIMARY KEY (show_id, payment_id),
  FOREIGN KEY (show_id, booking_id) REFERENCES bookings
);
CREATE UNIQUE INDEX payments_one_live ON payments (show_id, booking_id)
  WHERE state IN ('created', 'requires_action', 'authorised', 'captured');
CREATE INDEX payments_by_booking ON payments (show_id, booking_id, attempt_no);
CREATE INDEX payments_by_request ON payments (show_id, request_id);
CREATE INDEX payments_to_settle ON payments (settle_at) WHERE settle_at < 'infinity';
CREATE INDEX payments_by_intent ON payments (intent_id) WHERE intent_id <> '';

-- What is sent to the gateway, committed before its bytes leave; replayed with the same key and the same bytes.
CREATE TABLE payment_calls (
  show_id uuid NOT NULL,
  payment_id uuid NOT NULL,
  step text NOT NULL CHECK (step IN ('create', 'confirm', 'capture', 'cancel', 'refund')),
  call_no int NOT NULL,
  subject_id uuid NOT NULL, -- the payment, or the refund
  idempotency_key text NOT NULL,
  method text NOT NULL,
  path text NOT NULL,
  body text NOT NULL,
  sent_at timestamptz NOT NULL,
  answered_at timestamptz,
  http_status int,
  gateway_request_id text NOT NULL DEFAULT '',
  answer json,
  PRIMARY KEY (show_id, payment_id, step, call_no)
);

-- The audit trail: the program may insert and read, nothing else.
CREATE TABLE payment_events (
  show_id uuid NOT NULL,
  event_id uuid NOT NULL,
  payment_id uuid NOT NULL,
  booking_id uuid NOT NULL,
  refund_id uuid,
  at timestamptz NOT NULL DEFAULT statement_timestamp(),
  from_state text NOT NULL,
  to_state text NOT NULL,
  amount_minor bigint NOT NULL,
  currency char(3) NOT NULL,
  actor text NOT NULL,  -- 'buyer', 'staff', 'reconciler', 'webhook', 'system'
  why text NOT NULL,
  gateway_request_id text NOT NULL DEFAULT '',
  PRIMARY KEY (show_id, event_id)
);
CREATE INDEX payment_events_by_booking ON payment_events (show_id, booking_id, at);

--   requested -> pending -> succeeded | failed
CREATE TABLE refunds (
  show_id uuid NOT NULL,
  refund_id uuid NOT NULL,
  payment_id uuid NOT NULL,
  booking_id uuid NOT NULL,
  state text NOT NULL CHECK (state IN ('requested', 'pending', 'succeeded', 'failed')),
  amount_minor bigint NOT NULL CHECK (amount_minor > 0),
  currency char(3) NOT NULL,
  kind text NOT NULL CHECK (kind IN ('seats', 'goodwill', 'void')),
  reason text NOT NULL,
  seats int[] NOT NULL DEFAULT '{}',
  gateway_id text NOT NULL DEFAULT '',
  failure text NOT NULL DEFAULT '',
  settle_at timestamptz NOT NULL,
  settle_tries int NOT NULL DEFAULT 0,
  request_hash bytea NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  PRIMARY KEY (show_id, refund_id)
);
CREATE INDEX refunds_by_booking ON refunds (show_id, booking_id);
CREATE INDEX refunds_to_settle ON refunds (settle_at) WHERE settle_at < 'infinity';

-- ---- ticket service ------------------------------------------------------------------------------------------------

-- Secrets are sealed with a key derived from the program's own.
CREATE TABLE ticket_keys (
  key_id int PRIMARY KEY CHECK (key_id BETWEEN 1 AND 65535),
  public_key bytea NOT NULL CHECK (length(public_key) = 32),
  sealed_secret bytea NOT NULL,
  status text NOT NULL CHECK (status IN ('active', 'retired')),
  created_at timestamptz NOT NULL DEFAULT statement_timestamp()
);
CREATE UNIQUE INDEX ticket_keys_one_active ON ticket_keys (status) WHERE status = 'active';

--   valid -> used | revoked
CREATE TABLE tickets (
  show_id uuid NOT NULL,
  ticket_id uuid NOT NULL,
  booking_id uuid NOT NULL,
  seat_no int NOT NULL,
  state text NOT NULL CHECK (state IN ('valid', 'used', 'revoked')),
  key_id int NOT NULL REFERENCES ticket_keys,
  issued_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  ended_at timestamptz,
  PRIMARY KEY (show_id, ticket_id),
  FOREIGN KEY (show_id, booking_id) REFERENCES bookings
);
CREATE INDEX tickets_by_booking ON tickets (show_id, booking_id);
CREATE UNIQUE INDEX tickets_one_valid ON tickets (show_id, booking_id, seat_no) WHERE state <> 'revoked';

-- ---- events out, upkeep --------------------------------------------------------------------------------------------

-- One row per show and batch; events is an array. The id of an event is the row's id and its place in the array.
CREATE TABLE outbox (
  show_id uuid NOT NULL,
  outbox_id uuid NOT NULL,
  topic text NOT NULL CHECK (topic IN ('seat', 'booking', 'payment', 'ticket')),
  events json NOT NULL,
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  published_at timestamptz,
  PRIMARY KEY (show_id, outbox_id)
);
CREATE INDEX outbox_by_age ON outbox (created_at);

-- Who does a piece of background work. The generation fences a sleeper's writes.
CREATE TABLE leases (
  name text PRIMARY KEY,
  holder text NOT NULL,
  generation bigint NOT NULL,
  until timestamptz NOT NULL
);

-- What the program keeps about itself: marks of secrets, the demo's ids.
CREATE TABLE settings (
  name text PRIMARY KEY,
  value text NOT NULL
);

GRANT SELECT ON organizers, api_tokens, schema_migrations TO boxoffice_app;
GRANT INSERT, UPDATE ON organizers, api_tokens TO boxoffice_app;
GRANT SELECT, INSERT, UPDATE ON venues, seating_plans, plan_seats, events, shows, show_seats, buyers, bookings, booking_seats,
  payments, payment_calls, refunds, tickets, ticket_keys, settings, leases TO boxoffice_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON seat_locks, seat_lock_history, outbox TO boxoffice_app;
GRANT SELECT, INSERT ON payment_events TO boxoffice_app;
