-- used -> valid: who was let in was not, after all. $2 the device, $3 the token or user, $4 the nonce, $5 the hash of what was asked,
-- $6 the id, $7 the ticket (null: of the device's check-in with this nonce, if the ticket is used by that one), $8 why the code was
-- refused before it was looked up, $9 the outbox. After ticket_undo_hold in the same transaction. One row; a nonce that was answered
-- before is told again and changes nothing.
WITH known AS MATERIALIZED (
  SELECT c.* FROM checkins c
   WHERE c.show_id = $1::uuid AND c.device = $2::text AND c.kind = 'undo' AND c.nonce = $4::text),
mine AS MATERIALIZED (
  SELECT c.checkin_id, c.ticket_id FROM checkins c
   WHERE $7::uuid IS NULL AND c.show_id = $1::uuid AND c.device = $2::text AND c.kind = 'use' AND c.nonce = $4::text),
judged AS MATERIALIZED (
  SELECT t.ticket_id, t.seat_no, t.used_at, s.plan_id, x.device,
         CASE WHEN $8::text <> '' THEN $8::text
              WHEN t.state IS NULL THEN 'invalid'
              WHEN t.state = 'revoked' THEN CASE WHEN b.released_at IS NOT NULL THEN 'cancelled' ELSE 'revoked' END
              WHEN t.state = 'valid' OR t.used_by <> (SELECT m.checkin_id FROM mine m) THEN 'not_used'
              ELSE '' END AS reason
    FROM shows s
    LEFT JOIN tickets t ON t.show_id = $1::uuid AND $8::text = ''
     AND t.ticket_id = coalesce($7::uuid, (SELECT m.ticket_id FROM mine m))
    LEFT JOIN booking_seats b ON b.show_id = t.show_id AND b.booking_id = t.booking_id AND b.seat_no = t.seat_no
    LEFT JOIN checkins x ON x.show_id = $1::uuid AND x.checkin_id = t.used_by
   WHERE s.show_id = $1::uuid AND NOT EXISTS (SELECT 1 FROM known)),
undone AS (
  UPDATE tickets t
     SET state = 'valid', used_at = 'infinity', used_by = '00000000-0000-0000-0000-000000000000', version = t.version + 1
    FROM judged j
   WHERE t.show_id = $1::uuid AND t.ticket_id = j.ticket_id AND t.state = 'used' AND j.reason = ''
  RETURNING t.ticket_id, t.booking_id, t.seat_no, t.version),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $9::uuid, 'ticket', json_build_array(json_build_object('type', 'ticket.use_undone', 'ticket_id', u.ticket_id,
           'version', u.version, 'show_id', $1::uuid, 'booking_id', u.booking_id, 'seat',
           (SELECT p.guid FROM plan_seats p WHERE p.plan_id = (SELECT j.plan_id FROM judged j) AND p.seat_no = u.seat_no),
           'seat_no', u.seat_no))
    FROM undone u),
noted AS (
  INSERT INTO checkins (show_id, checkin_id, kind, device, nonce, request_hash, ticket_id, seat_no, result, reason, scanned_at,
                        offline, first_used_at, first_device, actor_id)
  SELECT $1::uuid, $6::uuid, 'undo', $2::text, $4::text, $5::bytea,
         coalesce(j.ticket_id, '00000000-0000-0000-0000-000000000000'), coalesce(j.seat_no, -1),
         CASE WHEN j.reason = '' THEN 'ok' ELSE 'refused' END, j.reason, statement_timestamp(), false,
         coalesce(j.used_at, 'infinity'), coalesce(j.device, ''), $3::uuid
    FROM judged j
  RETURNING *)
SELECT n.nonce, n.request_hash, n.checkin_id, n.ticket_id, n.seat_no, n.result = 'ok' AS ok, n.reason, n.at, n.scanned_at, n.offline,
       n.first_used_at, n.first_device, true AS fresh
  FROM noted n
UNION ALL
SELECT k.nonce, k.request_hash, k.checkin_id, k.ticket_id, k.seat_no, k.result = 'ok', k.reason, k.at, k.scanned_at, k.offline,
       k.first_used_at, k.first_device, false
  FROM known k
