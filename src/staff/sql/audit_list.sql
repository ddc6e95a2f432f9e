-- A page of the organiser's audit log, newest first.
SELECT a.audit_id, a.at, a.actor_kind, a.actor_id, a.action, a.objects, a.network, a.request_id, COALESCE(a.status, o.status),
       COALESCE(o.code, ''), a.detail, o.made, r.n
  FROM audit_log a LEFT JOIN audit_outcomes o ON o.audit_id = a.audit_id
  LEFT JOIN audit_repeats r ON r.audit_id = a.audit_id
 WHERE a.organizer_id = $1::uuid AND a.at >= $2::timestamptz AND a.at < $3::timestamptz
   AND (a.at, a.audit_id) < ($4::timestamptz, $5::uuid)
 ORDER BY a.at DESC, a.audit_id DESC LIMIT $6::int
