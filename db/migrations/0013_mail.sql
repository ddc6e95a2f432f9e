-- Oldest program: 0009
--
-- What sending mails needs: more kinds, a claim that ends by itself, why one could not be sent, until when one is of use.
--
-- Expands only: the program of before works on; what it writes is sent by the new one.
--
-- Ahead: CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS notifications_cause ON notifications (cause_id, kind, booking_id, buyer_id) WHERE cause_id <> '00000000-0000-0000-0000-000000000000';
-- Ahead: CREATE INDEX CONCURRENTLY IF NOT EXISTS notifications_by_buyer ON notifications (buyer_id, ended_at);
-- Ahead: CREATE INDEX CONCURRENTLY IF NOT EXISTS notifications_failed ON notifications (ended_at, notification_id) WHERE state = 'failed';
-- Ahead: CREATE INDEX CONCURRENTLY IF NOT EXISTS notifications_ended ON notifications (ended_at) WHERE state <> 'queued';

--   queued -> sent | failed | dropped;  failed -> queued (a person says so)
-- A mail that is being sent is still queued: who sends it has put its claim_id there and due_at to when somebody else may take it
-- over. cause_id: of what it tells (a lock, a payment, a refund, a transfer, a job): once for each kind, booking and person; zeros
-- when a person asked for it. Notices of a lock have no booking: booking_id is zeros, cause_id the lock. data: what a template needs
-- and no table says any more; nothing of a person. last_error is free of addresses and names.
ALTER TABLE notifications
  ADD COLUMN data json NOT NULL DEFAULT '{}',
  ADD COLUMN not_after timestamptz NOT NULL DEFAULT 'infinity', -- later it is of no use: dropped
  ADD COLUMN attempts int NOT NULL DEFAULT 0,
  ADD COLUMN claim_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
  ADD COLUMN message_id text NOT NULL DEFAULT '',               -- as first sent: a mail that is sent twice has one
  ADD COLUMN smtp_status int NOT NULL DEFAULT 0,                -- the last answer's; 0: there was none
  ADD COLUMN last_error text NOT NULL DEFAULT '',
  DROP CONSTRAINT notifications_kind_check,
  ADD CONSTRAINT notifications_kind_check CHECK (kind IN ('tickets', 'transfer', 'lookup', 'show_cancelled', 'show_rescheduled',
    'lock_ending', 'lock_ended', 'payment_failed', 'booking_confirmed', 'booking_cancelled', 'refunded')),
  DROP CONSTRAINT notifications_state_check,
  ADD CONSTRAINT notifications_state_check CHECK (state IN ('queued', 'sent', 'failed', 'dropped'));

-- One cause may be told of in several ways: of a lock that it is about to end and that it has ended.
CREATE UNIQUE INDEX IF NOT EXISTS notifications_cause ON notifications (cause_id, kind, booking_id, buyer_id)
  WHERE cause_id <> '00000000-0000-0000-0000-000000000000';
DROP INDEX notifications_once;

-- What somebody was sent lately (buyers of one address), what failed, what is old enough to go.
CREATE INDEX IF NOT EXISTS notifications_by_buyer ON notifications (buyer_id, ended_at);
CREATE INDEX IF NOT EXISTS notifications_failed ON notifications (ended_at, notification_id) WHERE state = 'failed';
CREATE INDEX IF NOT EXISTS notifications_ended ON notifications (ended_at) WHERE state <> 'queued';

GRANT DELETE ON notifications TO boxoffice_app;
ALTER TABLE notifications SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
