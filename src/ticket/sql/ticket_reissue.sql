-- valid -> revoked, and another one in its place ($3), of the same seat, booking and holder. After ticket_reissue_hold in the same
-- transaction. No row: it is not valid any more. Locks the ticket's row.
WITH active AS (
  SELECT k.key_id, k.sealed_secret FROM ticket_keys k WHERE k.status = 'active'),
ended AS (
  UPDATE tickets t SET state = 'revoked', ended_at = statement_timestamp(), version = t.version + 1
   WHERE t.show_id = $1::uuid AND t.ticket_id = $2::uuid AND t.state = 'valid' AND EXISTS (SELECT 1 FROM active)
  RETURNING t.ticket_id, t.booking_id, t.seat_no, t.transfer_id, t.version,
            CASE WHEN t.origin_id = '00000000-0000-0000-0000-000000000000' THEN t.ticket_id ELSE t.origin_id END AS origin_id),
made AS (
  INSERT INTO tickets (show_id, ticket_id, booking_id, seat_no, state, key_id, transfer_id, origin_id)
  SELECT $1::uuid, $3::uuid, e.booking_id, e.seat_no, 'valid', a.key_id, e.transfer_id, e.origin_id
    FROM ended e, active a
  RETURNING ticket_id, booking_id, seat_no, state, key_id, transfer_id, version),
seats AS (
  SELECT p.guid FROM plan_seats p, ended e
   WHERE p.plan_id = (SELECT s.plan_id FROM shows s WHERE s.show_id = $1::uuid) AND p.seat_no = e.seat_no),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $4::uuid, 'ticket', json_build_array(
           json_build_object('type', 'ticket.revoked', 'ticket_id', e.ticket_id, 'version', e.version, 'show_id', $1::uuid,
             'booking_id', e.booking_id, 'seat', (SELECT x.guid FROM seats x), 'seat_no', e.seat_no, 'reason', 'reissued'),
           json_strip_nulls(json_build_object('type', 'ticket.issued', 'ticket_id', m.ticket_id, 'version', m.version,
             'show_id', $1::uuid, 'booking_id', m.booking_id, 'seat', (SELECT x.guid FROM seats x), 'seat_no', m.seat_no,
             'transfer_id', nullif(m.transfer_id, '00000000-0000-0000-0000-000000000000'))))
    FROM ended e, made m)
SELECT m.ticket_id, m.seat_no, m.state, m.key_id, a.sealed_secret FROM made m, active a
