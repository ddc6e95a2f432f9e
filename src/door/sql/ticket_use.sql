-- valid -> used: codes shown at the door, one or many. $2 the device, $3 the token or user, $4 scanned without a network, $5 nonces,
-- $6 hashes of the codes, $7 ids, $8 tickets (zeros: not one of this show), $9 why a code was refused before it was looked up ('': it
-- is genuine), $10 when it was scanned ('infinity': now), $11 the outbox, $12 and $13 how long before and after its beginning a show
-- lets in. After tickets_hold in the same transaction. Of several scans of a ticket the earliest is let in, then by nonce.
-- One row per nonce, also for those that were answered before: those are told again and change nothing. When one of these was another
-- code's, nothing changes at all, and they are the only rows.
WITH asked AS MATERIALIZED (
  SELECT a.nonce, a.hash, a.checkin_id, a.ticket_id, a.refused, least(a.at, statement_timestamp()) AS at
    FROM unnest($5::text[], $6::bytea[], $7::uuid[], $8::uuid[], $9::text[], $10::timestamptz[])
      AS a (nonce, hash, checkin_id, ticket_id, refused, at)),
known AS MATERIALIZED (
  SELECT c.* FROM checkins c
   WHERE c.show_id = $1::uuid AND c.device = $2::text AND c.kind = 'use' AND c.nonce = ANY ($5::text[])),
judged AS MATERIALIZED (
  SELECT a.*, t.booking_id, t.seat_no, t.used_at, t.used_by, s.plan_id,
         CASE WHEN a.refused <> '' THEN a.refused
              WHEN s.status = 'cancelled' THEN 'show_cancelled'
              WHEN t.state IS NULL THEN 'invalid'
              WHEN t.state = 'revoked' THEN CASE WHEN b.released_at IS NOT NULL THEN 'cancelled' ELSE 'revoked' END
              WHEN t.state = 'used' THEN 'already_used'
              WHEN a.at < s.starts_at - $12::interval THEN 'not_yet'
              WHEN a.at > s.starts_at + $13::interval THEN 'over'
              ELSE '' END AS reason
    FROM asked a
    JOIN shows s ON s.show_id = $1::uuid
    LEFT JOIN tickets t ON t.show_id = $1::uuid AND t.ticket_id = a.ticket_id AND a.refused = ''
    LEFT JOIN booking_seats b ON b.show_id = t.show_id AND b.booking_id = t.booking_id AND b.seat_no = t.seat_no
   WHERE NOT EXISTS (SELECT 1 FROM known k WHERE k.nonce = a.nonce)
     AND NOT EXISTS (SELECT 1 FROM known k JOIN asked x ON x.nonce = k.nonce AND x.hash <> k.request_hash)),
firsts AS MATERIALIZED (
  SELECT DISTINCT ON (j.ticket_id) j.ticket_id, j.checkin_id, j.at FROM judged j WHERE j.reason = ''
   ORDER BY j.ticket_id, j.at, j.nonce),
used AS (
  UPDATE tickets t SET state = 'used', used_at = f.at, used_by = f.checkin_id, version = t.version + 1
    FROM firsts f
   WHERE t.show_id = $1::uuid AND t.ticket_id = f.ticket_id AND t.state = 'valid'
  RETURNING t.ticket_id, t.booking_id, t.seat_no, t.version, t.used_at),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $11::uuid, 'ticket', json_agg(json_build_object('type', 'ticket.used', 'ticket_id', u.ticket_id,
           'version', u.version, 'show_id', $1::uuid, 'booking_id', u.booking_id, 'seat',
           (SELECT p.guid FROM plan_seats p WHERE p.plan_id = (SELECT j.plan_id FROM judged j LIMIT 1) AND p.seat_no = u.seat_no),
           'seat_no', u.seat_no, 'used_at', to_char(u.used_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
           ORDER BY u.seat_no)
    FROM used u HAVING count(*) > 0),
noted AS (
  INSERT INTO checkins (show_id, checkin_id, kind, device, nonce, request_hash, ticket_id, seat_no, result, reason, scanned_at,
                        offline, first_used_at, first_device, actor_id)
  SELECT $1::uuid, j.checkin_id, 'use', $2::text, j.nonce, j.hash,
         CASE WHEN j.seat_no IS NULL THEN '00000000-0000-0000-0000-000000000000' ELSE j.ticket_id END, coalesce(j.seat_no, -1),
         CASE WHEN f.checkin_id = j.checkin_id THEN 'ok' ELSE 'refused' END,
         CASE WHEN f.checkin_id = j.checkin_id THEN '' WHEN j.reason = '' THEN 'already_used' ELSE j.reason END,
         j.at, $4::boolean, coalesce(f.at, j.used_at, 'infinity'),
         CASE WHEN f.checkin_id IS NOT NULL THEN $2::text ELSE coalesce(c.device, '') END, $3::uuid
    FROM judged j
    LEFT JOIN firsts f ON f.ticket_id = j.ticket_id AND j.reason = ''
    LEFT JOIN checkins c ON c.show_id = $1::uuid AND c.checkin_id = j.used_by
  RETURNING *)
SELECT n.nonce, n.request_hash, n.checkin_id, n.ticket_id, n.seat_no, n.result = 'ok' AS ok, n.reason, n.at, n.scanned_at, n.offline,
       n.first_used_at, n.first_device, true AS fresh
  FROM noted n
UNION ALL
SELECT k.nonce, k.request_hash, k.checkin_id, k.ticket_id, k.seat_no, k.result = 'ok', k.reason, k.at, k.scanned_at, k.offline,
       k.first_used_at, k.first_device, false
  FROM known k
