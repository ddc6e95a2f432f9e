-- Oldest program: 0009
--
-- Consumers of events: where each stands, what it could not do; what buyers of an event also booked.
-- Adds only: the program before this one works on.

-- A row once it has run for the first time; how far it is: consumer_cursors. While source is 'log' everything behind the cursor is
-- to be read in outbox_log. Else it is 'kafka ' and the cluster's id: then what is behind the cursor and on the broker is read there,
-- and the cursor follows.
CREATE TABLE consumers (
  consumer text PRIMARY KEY,
  source text NOT NULL DEFAULT 'log',
  generation bigint NOT NULL DEFAULT 0,          -- rises when it is put elsewhere: who runs it begins anew
  failures int NOT NULL DEFAULT 0,               -- of the batch under way, one after the other; 0: all is well
  trouble text NOT NULL DEFAULT '',              -- what was last said
  made_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  seen_at timestamptz NOT NULL DEFAULT statement_timestamp()
);
GRANT SELECT, INSERT, UPDATE, DELETE ON consumers TO boxoffice_app;

-- An event that a consumer could not take, alone and again and again. The later ones have gone on.
CREATE TABLE consumer_parked (
  consumer text NOT NULL,
  event_id text NOT NULL,
  show_id uuid NOT NULL,
  topic text NOT NULL,
  type text NOT NULL,
  event json NOT NULL,
  event_at timestamptz NOT NULL,
  tries int NOT NULL,
  cause text NOT NULL,                           -- what was said the last time
  wish text NOT NULL DEFAULT '' CHECK (wish IN ('', 'retry')),
  parked_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  PRIMARY KEY (consumer, event_id)
);
CREATE INDEX consumer_parked_wished ON consumer_parked (consumer, parked_at) WHERE wish <> '';
GRANT SELECT, INSERT, UPDATE, DELETE ON consumer_parked TO boxoffice_app;

-- What buyers of an event also booked. A person is known by the hash of the address at one organiser, is in here only while a
-- booking of theirs stands, and is forgotten by erasing; what they added to the counts remains, and says nothing of anybody.
CREATE TABLE recommend_booked (
  organizer_id uuid NOT NULL,
  person bytea NOT NULL,                         -- buyers.email_hash
  event_id uuid NOT NULL,
  PRIMARY KEY (organizer_id, person, event_id)
);
CREATE INDEX recommend_booked_by_event ON recommend_booked (event_id);
CREATE TABLE recommend_pairs (
  event_id uuid NOT NULL,
  other_id uuid NOT NULL,
  persons int NOT NULL,                          -- who have booked both
  PRIMARY KEY (event_id, other_id)
) WITH (fillfactor = 80);
CREATE INDEX recommend_pairs_by_other ON recommend_pairs (other_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON recommend_booked, recommend_pairs TO boxoffice_app;
