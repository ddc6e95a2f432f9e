-- Of the user with the address $1: another invitation ($2: its hash) in place of the password, or disabled ($2 empty). Ends the
-- logins, with disabled also the API tokens that the user made and those made by these (one that is being made at this moment is not
-- seen: ask again), and writes the row of the audit log ($3: the action). No row: no such user.
WITH RECURSIVE changed AS (
  UPDATE staff_users SET invitation_hash = decode($2::text, 'hex'),
         invitation_ends_at = CASE WHEN $2::text = '' THEN '-infinity' ELSE statement_timestamp() + interval '7 days' END,
         password_hash = CASE WHEN $2::text = '' THEN password_hash ELSE '' END,
         disabled_at = CASE WHEN $2::text = '' THEN coalesce(disabled_at, statement_timestamp()) END
   WHERE email = $1::text AND erased_at IS NULL
  RETURNING user_id, organizer_id),
ended AS (
  DELETE FROM staff_logins l USING changed c WHERE l.user_id = c.user_id),
theirs AS (
  SELECT t.token_id FROM api_tokens t
   WHERE $2::text = '' AND t.created_by = (SELECT u.user_id FROM staff_users u WHERE u.email = $1::text AND u.erased_at IS NULL)
  UNION
  SELECT t.token_id FROM theirs h JOIN api_tokens t ON t.created_by = h.token_id),
revoked AS (
  UPDATE api_tokens a SET revoked_at = statement_timestamp()
    FROM theirs h, changed c WHERE a.token_id = h.token_id AND a.organizer_id = c.organizer_id AND a.revoked_at IS NULL),
noted AS (
  INSERT INTO audit_log (audit_id, organizer_id, actor_kind, actor_id, action, objects, network, request_id, status)
  SELECT gen_random_uuid(), organizer_id, 'operator', '00000000-0000-0000-0000-000000000000', $3::text, ARRAY[user_id],
         'local', '00000000-0000-0000-0000-000000000000', 200 FROM changed
  RETURNING audit_id, organizer_id, at, objects),
placed AS (
  INSERT INTO audit_objects (organizer_id, object_id, at, audit_id) SELECT organizer_id, objects[1], at, audit_id FROM noted)
SELECT user_id FROM changed
