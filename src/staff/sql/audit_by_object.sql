-- The same of one object, and of one actor when $7 is not null.
SELECT a.audit_id, a.at, a.actor_kind, a.actor_id, a.action, a.objects, a.network, a.request_id, COALESCE(a.status, o.status),
       COALESCE(o.code, ''), a.detail, o.made, r.n
  FROM audit_objects b
  JOIN audit_log a ON a.audit_id = b.audit_id
  LEFT JOIN audit_outcomes o ON o.audit_id = a.audit_id
  LEFT JOIN audit_repeats r ON r.audit_id = a.audit_id
 WHERE b.organizer_id = $1::uuid AND b.object_id = $8::uuid AND b.at >= $2::timestamptz AND b.at < $3::timestamptz
   AND (b.at, b.audit_id) < ($4::timestamptz, $5::uuid) AND ($7::uuid IS NULL OR a.actor_id = $7::uuid)
 ORDER BY b.at DESC, b.audit_id DESC LIMIT $6::int
