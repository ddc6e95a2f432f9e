-- Oldest program: 0009
--
-- Trust and upkeep: a disk that is nearly full, people found within an organiser, shows that want a verifier, the audit log's end.
-- Adds only: the version before this one goes on working.
--
-- Ahead: CREATE INDEX CONCURRENTLY IF NOT EXISTS buyers_by_organizer_mail ON buyers ((organizer_id::text || lower(email)) text_pattern_ops);
-- Ahead: CREATE INDEX CONCURRENTLY IF NOT EXISTS buyers_by_organizer_name ON buyers ((organizer_id::text || lower(name)) text_pattern_ops);
-- Ahead: CREATE INDEX CONCURRENTLY IF NOT EXISTS buyers_by_organizer_last_name ON buyers ((organizer_id::text || lower(substring(name FROM '[^ ]*$'))) text_pattern_ops);
-- Ahead: CREATE INDEX CONCURRENTLY IF NOT EXISTS ticket_transfers_by_holder ON ticket_transfers (to_buyer);
-- Ahead: CREATE INDEX CONCURRENTLY IF NOT EXISTS audit_log_by_age ON audit_log USING brin (at);
-- Ahead: CREATE INDEX CONCURRENTLY IF NOT EXISTS audit_objects_by_row ON audit_objects (audit_id);

-- What `work` on the machines of PostgreSQL says of its disk, one row a machine. Nobody believes a row that was not renewed for
-- five minutes.
CREATE TABLE disk_reports (
  place text PRIMARY KEY,
  low boolean NOT NULL,
  free_mb bigint NOT NULL,
  seen_at timestamptz NOT NULL DEFAULT statement_timestamp()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
GRANT SELECT, INSERT, UPDATE ON disk_reports TO boxoffice_app;

-- ---- buyers are looked for within an organiser ---------------------------------------------------------------------------

-- The organiser and the text in one key: what others have costs nothing, and no other question fits this index, not even while
-- the tables are empty (docs/decisions/0071). (buyers_by_name and
-- buyers_by_last_name serve the version before this one and go with the next.)
CREATE INDEX IF NOT EXISTS buyers_by_organizer_mail ON buyers ((organizer_id::text || lower(email)) text_pattern_ops);
CREATE INDEX IF NOT EXISTS buyers_by_organizer_name ON buyers ((organizer_id::text || lower(name)) text_pattern_ops);
CREATE INDEX IF NOT EXISTS buyers_by_organizer_last_name ON buyers ((organizer_id::text || lower(substring(name FROM '[^ ]*$'))) text_pattern_ops);

-- Who has tickets by a transfer is found by that.
CREATE INDEX IF NOT EXISTS ticket_transfers_by_holder ON ticket_transfers (to_buyer);
-- What was made of what somebody wrote goes when that person is erased; the trail itself nobody changes.
GRANT UPDATE (request_hash) ON ticket_transfers TO boxoffice_app;

-- ---- shows ---------------------------------------------------------------------------------------------------------------

-- verification: whether the verifier is asked before seats are locked.
ALTER TABLE shows ADD COLUMN verification text NOT NULL DEFAULT 'none' CHECK (verification IN ('none', 'required'));

-- What a show was put off to. NULL: by a version that did not say so.
ALTER TABLE show_jobs ADD COLUMN starts_at timestamptz, ADD COLUMN sale_starts_at timestamptz, ADD COLUMN sale_ends_at timestamptz;

-- ---- the audit log -------------------------------------------------------------------------------------------------------

-- Passwords that were wrong come into the log of whom they were tried at: who it was nobody knows.
ALTER TABLE audit_log DROP CONSTRAINT audit_log_actor_kind_check;
ALTER TABLE audit_log ADD CONSTRAINT audit_log_actor_kind_check CHECK (actor_kind IN ('user', 'token', 'operator', 'unknown')) NOT VALID;

-- How often what a row says happened: one row of the log for a user, a network and a minute, however often it is tried.
CREATE TABLE audit_repeats (
  audit_id uuid PRIMARY KEY REFERENCES audit_log,
  n int NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON audit_repeats TO boxoffice_app;

-- What is older than it is kept goes, a little at a time; never what is younger than thirty days. The program may delete nothing
-- of the log by itself, so this runs as its owner. Locks the rows it deletes.
CREATE INDEX IF NOT EXISTS audit_log_by_age ON audit_log USING brin (at);
CREATE INDEX IF NOT EXISTS audit_objects_by_row ON audit_objects (audit_id);
CREATE FUNCTION audit_log_purge(p_keep interval, p_rows int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  v_old uuid[] := ARRAY (SELECT a.audit_id FROM audit_log a WHERE a.at < statement_timestamp() - greatest(p_keep, interval '30 days')
                          LIMIT least(p_rows, 10000) FOR UPDATE SKIP LOCKED);
BEGIN
  DELETE FROM audit_objects o WHERE o.audit_id = ANY (v_old);
  DELETE FROM audit_outcomes o WHERE o.audit_id = ANY (v_old);
  DELETE FROM audit_repeats r WHERE r.audit_id = ANY (v_old);
  DELETE FROM audit_log a WHERE a.audit_id = ANY (v_old);
  RETURN cardinality(v_old);
END $$;
REVOKE ALL ON FUNCTION audit_log_purge FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_log_purge TO boxoffice_app;
