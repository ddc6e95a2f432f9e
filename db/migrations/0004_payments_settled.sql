-- What the gateway says by itself, what a person has to look at, and what is known of a card.

-- Events of the gateway, by its own id: the second delivery of one changes nothing. Only what is needed to find what it is
-- about is kept, nothing of a person or a card. Outside the rule of one show per statement: an event names no show.
CREATE TABLE webhook_events (
  gateway_event_id text PRIMARY KEY,
  type text NOT NULL,
  object_id text NOT NULL DEFAULT '',   -- of what it tells
  intent_id text NOT NULL DEFAULT '',   -- the payment intent behind that, '' when there is none
  created_at timestamptz NOT NULL,      -- by the gateway's clock
  received_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  deliveries int NOT NULL DEFAULT 1
);
CREATE INDEX webhook_events_by_age ON webhook_events USING brin (received_at);

-- What the settling found and cannot or should not end by itself; one row per thing, however often it is seen. The program
-- settles some of them itself later on (settled_by 'reconciler'); the others wait for `boxoffice admin payments`.
CREATE TABLE payment_findings (
  finding_id uuid PRIMARY KEY,
  kind text NOT NULL,
  gateway_id text NOT NULL,             -- the gateway's name of what it is about, '' when it has none
  subject_id uuid NOT NULL,             -- the attempt or the refund, zeros when we have none
  show_id uuid,
  booking_id uuid,
  amount_minor bigint NOT NULL DEFAULT 0,
  currency text NOT NULL DEFAULT '',
  detail text NOT NULL,
  found_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  seen_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  times int NOT NULL DEFAULT 1,
  settled_at timestamptz NOT NULL DEFAULT 'infinity',
  settled_by text NOT NULL DEFAULT '',
  settled_how text NOT NULL DEFAULT '',
  UNIQUE (gateway_id, subject_id, kind)
);
CREATE INDEX payment_findings_open ON payment_findings (found_at) WHERE settled_at = 'infinity';

-- card_hash: a keyed hash of the gateway's fingerprint of the card, known once the money is held: how many seats of an event a
-- card may pay for is decided before the capture. return_used: the token in the address that 3-D Secure sends the buyer back to
-- was redeemed.
ALTER TABLE payments
  ADD COLUMN card_hash bytea NOT NULL DEFAULT '',
  ADD COLUMN return_used boolean NOT NULL DEFAULT false;
CREATE INDEX payments_by_card ON payments (card_hash) WHERE card_hash <> '';

-- Statements by day read the trail by its time.
CREATE INDEX payment_events_by_time ON payment_events USING brin (at);

GRANT SELECT, INSERT, UPDATE ON webhook_events, payment_findings TO boxoffice_app;
GRANT DELETE ON webhook_events TO boxoffice_app; -- retention
