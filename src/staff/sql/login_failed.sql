-- A password was wrong that was said to be the user's ($1; zeros: nobody's, and nothing happens). $2 what was tried, $3 from which network,
-- $4 the request, $5 what it was answered. One row of the log for each user, network and minute; how often is counted beside it.
WITH tried AS (
  SELECT u.organizer_id, u.user_id,
         md5(concat_ws(' ', u.user_id, $2::text, $3::text, floor(extract(epoch FROM statement_timestamp()) / 60)::bigint))::uuid AS audit_id
    FROM staff_users u WHERE u.user_id = $1::uuid AND u.erased_at IS NULL),
noted AS (
  INSERT INTO audit_log (audit_id, organizer_id, actor_kind, actor_id, action, objects, network, request_id, status)
  SELECT t.audit_id, t.organizer_id, 'unknown', '00000000-0000-0000-0000-000000000000', $2::text, ARRAY[t.user_id], $3::text, $4::uuid,
         $5::int2
    FROM tried t
  ON CONFLICT (audit_id) DO NOTHING
  RETURNING audit_id, organizer_id, at, objects),
placed AS (
  INSERT INTO audit_objects (organizer_id, object_id, at, audit_id) SELECT organizer_id, objects[1], at, audit_id FROM noted)
INSERT INTO audit_repeats AS r (audit_id, n) SELECT t.audit_id, 1 FROM tried t
ON CONFLICT (audit_id) DO UPDATE SET n = r.n + 1
