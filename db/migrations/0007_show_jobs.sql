-- Shows that are called off or put off, blocks with their reason, mails to be sent, tickets that change hands, search.

-- Work on a whole show, gone through in batches by `work`. A job about money never remembers by itself what it has done: its
-- counters move in the transactions that do it.
--   running -> done
CREATE TABLE show_jobs (
  show_id uuid NOT NULL REFERENCES shows,
  job_id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('cancel', 'reschedule')),
  state text NOT NULL CHECK (state IN ('running', 'done')),
  reason text NOT NULL DEFAULT '',
  request_hash bytea NOT NULL,
  after_booking uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000', -- as far as the pass under way has come
  alone boolean NOT NULL DEFAULT false, -- every booking that was being made when the show changed is there or is not
  total int NOT NULL,                   -- bookings it is about, as counted when it began; exact when it is done
  done int NOT NULL DEFAULT 0,
  failed int NOT NULL DEFAULT 0,
  next_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  ended_at timestamptz NOT NULL DEFAULT 'infinity',
  PRIMARY KEY (show_id, job_id)
);
CREATE UNIQUE INDEX show_jobs_one_cancel ON show_jobs (show_id) WHERE kind = 'cancel';
CREATE INDEX show_jobs_due ON show_jobs (next_at) WHERE state = 'running';

-- Bookings that a job had to leave as they are: a person has to look at them.
CREATE TABLE show_job_errors (
  job_id uuid NOT NULL,
  booking_id uuid NOT NULL,
  code text NOT NULL,
  at timestamptz NOT NULL DEFAULT statement_timestamp(),
  PRIMARY KEY (job_id, booking_id)
);

-- rescheduled_at, refund_until: who booked before the one may give back in full until the other. reschedules: for calendars.
-- transferable: buyers may give their tickets to somebody else.
ALTER TABLE shows
  ADD COLUMN rescheduled_at timestamptz NOT NULL DEFAULT '-infinity',
  ADD COLUMN refund_until timestamptz NOT NULL DEFAULT '-infinity',
  ADD COLUMN reschedules int NOT NULL DEFAULT 0,
  ADD COLUMN transferable boolean NOT NULL DEFAULT true;

-- Why a seat is blocked. A seat may be blocked without a row here: then nobody said why.
CREATE TABLE seat_blocks (
  show_id uuid NOT NULL,
  seat_no int NOT NULL,
  reason text NOT NULL,
  blocked_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  PRIMARY KEY (show_id, seat_no)
);

-- Mails to be sent: to whom is a record of buyers, so that nothing of a person stands here. cause_id: the job or transfer that
-- asked for it, once for each booking and person; zeros when a person asked.
--   queued -> sent | failed
CREATE TABLE notifications (
  notification_id uuid PRIMARY KEY,
  organizer_id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('tickets', 'transfer', 'lookup', 'show_cancelled', 'show_rescheduled')),
  show_id uuid NOT NULL,
  booking_id uuid NOT NULL,
  buyer_id uuid NOT NULL,
  cause_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
  state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'failed')),
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  due_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  ended_at timestamptz NOT NULL DEFAULT 'infinity'
);
CREATE INDEX notifications_by_booking ON notifications (booking_id, kind, created_at);
CREATE INDEX notifications_due ON notifications (due_at) WHERE state = 'queued';
CREATE UNIQUE INDEX notifications_once ON notifications (cause_id, booking_id, buyer_id)
  WHERE cause_id <> '00000000-0000-0000-0000-000000000000';

-- Tickets that changed hands: the trail. The program may insert and read, nothing else.
CREATE TABLE ticket_transfers (
  show_id uuid NOT NULL,
  transfer_id uuid NOT NULL,
  booking_id uuid NOT NULL,
  seats int[] NOT NULL,
  revoked uuid[] NOT NULL,  -- the tickets that are good no more
  to_buyer uuid NOT NULL,   -- the record of buyers of who has them now
  actor text NOT NULL,      -- 'buyer', 'staff'
  actor_id uuid NOT NULL,   -- of the token or the session; zeros for the booking's link
  request_hash bytea NOT NULL,
  at timestamptz NOT NULL DEFAULT statement_timestamp(),
  PRIMARY KEY (show_id, transfer_id)
);
CREATE INDEX ticket_transfers_by_booking ON ticket_transfers (booking_id, show_id, at);
ALTER TABLE tickets ADD COLUMN transfer_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';

-- How often something was asked in a stretch of time, by a keyed hash of who asked.
CREATE TABLE request_counts (
  what text NOT NULL,
  who bytea NOT NULL,
  since timestamptz NOT NULL,
  n int NOT NULL,
  PRIMARY KEY (what, who, since)
);
CREATE INDEX request_counts_by_age ON request_counts (since);

-- Bookings are listed newest first, of an organiser or of a show; people are found by the beginning of their address or names.
CREATE INDEX bookings_of_organizer ON bookings (organizer_id, created_at, booking_id);
CREATE INDEX bookings_of_show ON bookings (organizer_id, show_id, created_at, booking_id);
-- (Nothing else in them: an index that began with the organiser would fit any of these questions before there are buyers.)
CREATE INDEX buyers_by_mail ON buyers (lower(email) text_pattern_ops);
CREATE INDEX buyers_by_name ON buyers (lower(name) text_pattern_ops);
CREATE INDEX buyers_by_last_name ON buyers (lower(substring(name FROM '[^ ]*$')) text_pattern_ops);

GRANT SELECT, INSERT, UPDATE ON show_jobs, show_job_errors, seat_blocks, notifications, request_counts TO boxoffice_app;
GRANT SELECT, INSERT ON ticket_transfers TO boxoffice_app;
GRANT DELETE ON seat_blocks, request_counts TO boxoffice_app;
