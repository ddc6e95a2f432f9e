-- A row of the audit log, and where each object stands in it. Locks nothing.
WITH noted AS (
  INSERT INTO audit_log (audit_id, organizer_id, actor_kind, actor_id, action, objects, network, request_id, status, detail)
  VALUES ($1::uuid, $2::uuid, $3::text, $4::uuid, $5::text, $6::uuid[], $7::text, $8::uuid, $9::int2, $10::text)
  RETURNING audit_id, organizer_id, at, objects)
INSERT INTO audit_objects (organizer_id, object_id, at, audit_id)
SELECT DISTINCT n.organizer_id, o.id, n.at, n.audit_id FROM noted n, unnest(n.objects) AS o (id)
