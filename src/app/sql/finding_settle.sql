-- A person has seen to a finding. done: it was open until now; no row: there is none.
WITH done AS (
  UPDATE payment_findings f SET settled_at = statement_timestamp(), settled_by = $2::text, settled_how = $3::text
   WHERE f.finding_id = $1::uuid AND f.settled_at = 'infinity'
  RETURNING f.finding_id)
SELECT f.kind, (SELECT count(*) FROM done) > 0 AS done, f.settled_by FROM payment_findings f WHERE f.finding_id = $1::uuid
