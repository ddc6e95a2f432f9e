-- I3 against the gateway: its ledger is brought here page by page, so that comparing takes no memory of the program's. Of an
-- intent of somebody else (another program may use the same account) there is only the id.
CREATE TEMPORARY TABLE gateway_intents (
  intent_id text PRIMARY KEY,
  created_at timestamptz NOT NULL, -- by the gateway's clock
  status text NOT NULL,
  amount_minor bigint NOT NULL,
  received_minor bigint NOT NULL,
  currency text NOT NULL,
  show_id uuid,
  booking_id uuid,
  payment_id uuid
);
CREATE TEMPORARY TABLE gateway_refunds (
  refund_id text PRIMARY KEY,
  intent_id text NOT NULL,
  status text NOT NULL,
  amount_minor bigint NOT NULL,
  currency text NOT NULL
);
CREATE INDEX ON gateway_refunds (intent_id);
CREATE TEMPORARY TABLE gateway_faults (
  look int NOT NULL, -- what is seen once may be under way; what is seen the same twice is a fault
  show_id uuid,
  fault text NOT NULL
);
