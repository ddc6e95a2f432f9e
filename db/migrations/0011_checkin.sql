-- Oldest program: 0009
--
-- The door: every code that was shown there and what was answered, tickets that are used and are not used after all, tokens of the
-- devices that scan.
--
-- Expands only: the program of before works on; it knows no check-ins. The columns cost nothing (a constant default is kept once for
-- the table).

-- version counts a ticket's arrows. used_at, used_by: since when it is used, and by which check-in; origin_id: a ticket that was
-- issued in place of another is, to calendars, the same as the first of them.
ALTER TABLE tickets ADD COLUMN IF NOT EXISTS version int NOT NULL DEFAULT 1;
ALTER TABLE tickets
  ADD COLUMN used_at timestamptz NOT NULL DEFAULT 'infinity',
  ADD COLUMN used_by uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
  ADD COLUMN origin_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';

-- What was asked at the door and answered: the answer to a nonce that comes again is this row. The program may insert and read,
-- nothing else. ticket_id: zeros when the code was not of a ticket of this show. device is a name that staff gave to a thing.
CREATE TABLE checkins (
  show_id uuid NOT NULL,
  checkin_id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('use', 'undo')),
  device text NOT NULL,
  nonce text NOT NULL,
  request_hash bytea NOT NULL,
  ticket_id uuid NOT NULL,
  seat_no int NOT NULL,              -- -1: none
  result text NOT NULL CHECK (result IN ('ok', 'refused')),
  reason text NOT NULL,              -- '' when ok
  at timestamptz NOT NULL DEFAULT statement_timestamp(),
  scanned_at timestamptz NOT NULL,   -- the same, or when the device scanned it without a network, by our clock
  offline boolean NOT NULL,
  first_used_at timestamptz NOT NULL, -- 'infinity': not used
  first_device text NOT NULL,
  actor_id uuid NOT NULL,            -- the token or the user
  PRIMARY KEY (show_id, checkin_id)
);
-- One answer per nonce, whatever the code above does.
CREATE UNIQUE INDEX checkins_once ON checkins (show_id, device, kind, nonce);
-- Refused ones are counted while people wait.
CREATE INDEX checkins_refused ON checkins (show_id, reason) WHERE result = 'refused';

GRANT SELECT, INSERT ON checkins TO boxoffice_app;

-- A token of a device speaks for that device only; one with shows opens the doors of these only (it has no scope but checkin).
ALTER TABLE api_tokens
  ADD COLUMN device text NOT NULL DEFAULT '',
  ADD COLUMN shows uuid[] NOT NULL DEFAULT '{}';
