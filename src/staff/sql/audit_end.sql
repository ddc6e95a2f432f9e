-- What came of a write whose row was committed before it, and what it made. Locks nothing.
WITH ended AS (
  INSERT INTO audit_outcomes (audit_id, status, code, made) VALUES ($1::uuid, $2::int2, $3::text, $4::uuid))
INSERT INTO audit_objects (organizer_id, object_id, at, audit_id)
SELECT organizer_id, $4::uuid, at, audit_id FROM audit_log WHERE audit_id = $1::uuid AND $4::uuid IS NOT NULL
ON CONFLICT DO NOTHING
