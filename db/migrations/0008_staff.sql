-- Staff: people of an organiser who log in, their logins, the throttle of guesses; the audit log of what staff do.
-- Nothing here is on a path of buyers. Adds only: the version before this one goes on working.

-- A person of an organiser. The address is folded (lower case) and is one person's in the whole installation: it is all that
-- somebody who logs in says. Erased: the row stays, because the audit log names it, without name and address.
--   invited (no password) -> active <-> disabled;  -> erased
CREATE TABLE staff_users (
  user_id uuid PRIMARY KEY,
  organizer_id uuid NOT NULL REFERENCES organizers,
  email text NOT NULL,
  name text NOT NULL DEFAULT '',
  scopes text[] NOT NULL,
  password_hash text NOT NULL DEFAULT '', -- argon2id; empty: nothing fits
  invitation_hash bytea NOT NULL DEFAULT '', -- of the one-time token with which a password may be set
  invitation_ends_at timestamptz NOT NULL DEFAULT '-infinity',
  request_hash bytea NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  disabled_at timestamptz,
  erased_at timestamptz
);
CREATE UNIQUE INDEX staff_users_by_email ON staff_users (email) WHERE erased_at IS NULL;
CREATE UNIQUE INDEX staff_users_by_invitation ON staff_users (invitation_hash) WHERE invitation_hash <> '';
CREATE INDEX staff_users_by_organizer ON staff_users (organizer_id, user_id);

-- One row per login; ending it is deleting it. seen_at is moved at most once a minute.
CREATE TABLE staff_logins (
  login_id uuid PRIMARY KEY,
  user_id uuid NOT NULL REFERENCES staff_users,
  token_hash bytea NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  seen_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  ends_at timestamptz NOT NULL
);
CREATE INDEX staff_logins_by_user ON staff_logins (user_id);
CREATE INDEX staff_logins_by_end ON staff_logins (ends_at);

-- Guesses at passwords. The key is a MAC of an account, a network, or both: the table says nothing about who was tried.
CREATE TABLE staff_tries (
  key bytea PRIMARY KEY,
  tries int NOT NULL,
  ends_at timestamptz NOT NULL
);
CREATE INDEX staff_tries_by_end ON staff_tries (ends_at);

ALTER TABLE api_tokens ADD COLUMN created_by uuid, -- a user, or another token; NULL: the command line
  ADD COLUMN last_used_at timestamptz,             -- moved at most once in ten minutes
  ADD COLUMN request_hash bytea NOT NULL DEFAULT '';
CREATE INDEX api_tokens_by_organizer ON api_tokens (organizer_id, token_id);

-- What staff do: the program may insert and read, nothing else. A row is written in the transaction of the change (status says
-- what was answered), or committed before the change begins (status NULL); then its outcome follows the answer, and a row without
-- one is a change of which nobody knows whether it was done. No personal data: ids only.
CREATE TABLE audit_log (
  audit_id uuid PRIMARY KEY,
  organizer_id uuid NOT NULL,
  at timestamptz NOT NULL DEFAULT statement_timestamp(),
  actor_kind text NOT NULL CHECK (actor_kind IN ('user', 'token', 'operator')),
  actor_id uuid NOT NULL, -- zero: the operator, at the command line
  action text NOT NULL,   -- "POST /v1/venues", "admin user add"
  objects uuid[] NOT NULL,
  network text NOT NULL,
  request_id uuid NOT NULL,
  status smallint,
  detail text NOT NULL DEFAULT ''
);
CREATE INDEX audit_log_by_time ON audit_log (organizer_id, at, audit_id);
CREATE INDEX audit_log_by_actor ON audit_log (organizer_id, actor_id, at, audit_id);

CREATE TABLE audit_outcomes (
  audit_id uuid PRIMARY KEY REFERENCES audit_log,
  at timestamptz NOT NULL DEFAULT statement_timestamp(),
  status smallint NOT NULL,
  code text NOT NULL,
  made uuid -- what the request made
);

-- Where an object stands in the log: its rows in order of time.
CREATE TABLE audit_objects (
  organizer_id uuid NOT NULL,
  object_id uuid NOT NULL,
  at timestamptz NOT NULL,
  audit_id uuid NOT NULL REFERENCES audit_log,
  PRIMARY KEY (organizer_id, object_id, at, audit_id)
);

GRANT SELECT, INSERT, UPDATE ON staff_users TO boxoffice_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON staff_logins, staff_tries TO boxoffice_app;
GRANT SELECT, INSERT ON audit_log, audit_outcomes, audit_objects TO boxoffice_app;
