-- valid -> revoked for these seats of a booking, $5 why; none of them when one was used. After tickets_revoke_hold in the same
-- transaction. Locks the tickets' rows by seat.
WITH held AS (
  SELECT t.ticket_id, t.seat_no, t.state FROM tickets t
   WHERE t.show_id = $1::uuid AND t.booking_id = $2::uuid AND t.seat_no = ANY ($3::int[]) AND t.state <> 'revoked'
   ORDER BY t.seat_no FOR NO KEY UPDATE),
ended AS (
  UPDATE tickets t SET state = 'revoked', ended_at = statement_timestamp(), version = t.version + 1
   WHERE t.show_id = $1::uuid AND t.ticket_id IN (SELECT h.ticket_id FROM held h) AND t.state = 'valid'
     AND NOT EXISTS (SELECT 1 FROM held h WHERE h.state = 'used')
  RETURNING t.ticket_id, t.seat_no, t.version),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $4::uuid, 'ticket', json_agg(json_build_object('type', 'ticket.revoked', 'ticket_id', e.ticket_id,
           'version', e.version, 'show_id', $1::uuid, 'booking_id', $2::uuid, 'seat',
           (SELECT p.guid FROM plan_seats p WHERE p.plan_id = (SELECT s.plan_id FROM shows s WHERE s.show_id = $1::uuid) AND p.seat_no = e.seat_no),
           'seat_no', e.seat_no, 'reason', $5::text) ORDER BY e.seat_no)
    FROM ended e HAVING count(*) > 0)
SELECT (SELECT count(*) FROM held h WHERE h.state = 'used') AS n_used, (SELECT count(*) FROM ended) AS n_revoked,
       ARRAY (SELECT e.ticket_id FROM ended e ORDER BY e.seat_no) AS revoked
