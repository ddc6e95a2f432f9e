-- Somebody new of the organiser $2 by name, with an invitation, and the row of the audit log. No row: no such organiser, or the
-- address is taken.
WITH added AS (
  INSERT INTO staff_users (user_id, organizer_id, email, scopes, invitation_hash, invitation_ends_at)
  SELECT $1::uuid, o.organizer_id, $3::text, $4::text[], decode($5::text, 'hex'), statement_timestamp() + interval '7 days'
    FROM organizers o WHERE o.name = $2::text
  ON CONFLICT DO NOTHING
  RETURNING user_id, organizer_id),
noted AS (
  INSERT INTO audit_log (audit_id, organizer_id, actor_kind, actor_id, action, objects, network, request_id, status)
  SELECT gen_random_uuid(), organizer_id, 'operator', '00000000-0000-0000-0000-000000000000', 'admin user add', ARRAY[user_id],
         'local', '00000000-0000-0000-0000-000000000000', 200 FROM added
  RETURNING audit_id, organizer_id, at, objects),
placed AS (
  INSERT INTO audit_objects (organizer_id, object_id, at, audit_id) SELECT organizer_id, objects[1], at, audit_id FROM noted)
SELECT user_id FROM added
