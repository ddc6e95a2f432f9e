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
-- What a person has settled, per booking: given back in another way although the gateway refused the refund or took it back, less what
-- was sent again as another refund, and less what was given back at the gateway by hand.
CREATE TEMPORARY VIEW gateway_settled AS
SELECT x.show_id, x.booking_id, sum(x.minor) AS minor
  FROM (SELECT r.show_id, r.booking_id, r.amount_minor - coalesce((SELECT sum(e.amount_minor) FROM payment_events e
                 WHERE e.show_id = r.show_id AND e.booking_id = r.booking_id AND e.to_state = 'requested'
                   AND e.why LIKE 'again, in place of ' || r.refund_id || ', by %'), 0) AS minor
          FROM payment_findings f
          JOIN refunds r ON r.show_id = f.show_id AND r.refund_id = f.subject_id
         WHERE f.settled_at < 'infinity' AND f.settled_by <> 'reconciler'
           AND (f.kind = 'refund_failed' AND r.state = 'failed' AND r.kind <> 'goodwill'
                OR f.kind = 'refund_reversed' AND r.state = 'succeeded')
        UNION ALL
        SELECT f.show_id, f.booking_id, -g.amount_minor
          FROM payment_findings f
          JOIN gateway_refunds g ON g.refund_id = f.gateway_id AND g.status IN ('succeeded', 'pending', 'requires_action')
         WHERE f.kind = 'foreign_refund' AND f.settled_at < 'infinity' AND f.settled_by <> 'reconciler'
           AND NOT EXISTS (SELECT 1 FROM refunds r WHERE r.show_id = f.show_id AND r.gateway_id = g.refund_id)) x
 GROUP BY x.show_id, x.booking_id;
