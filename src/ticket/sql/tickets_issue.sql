-- (nothing) -> valid: one ticket per seat of a booking, signed with the key that is active now. The caller compares the
-- number of rows with the number of seats. $6: the transfer that gives them to somebody else, zeros when the buyer has them. Locks nothing but what it makes (and the key's row against removal).
WITH active AS (
  SELECT k.key_id, k.sealed_secret FROM ticket_keys k WHERE k.status = 'active'),
made AS (
  INSERT INTO tickets (show_id, ticket_id, booking_id, seat_no, state, key_id, transfer_id)
  SELECT $1::uuid, n.ticket_id, $2::uuid, n.seat_no, 'valid', a.key_id, $6::uuid
    FROM active a, unnest($3::uuid[], $4::int[]) AS n (ticket_id, seat_no)
  RETURNING ticket_id, seat_no, state, key_id, version),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT $1::uuid, $5::uuid, 'ticket', json_agg(json_strip_nulls(json_build_object('type', 'ticket.issued', 'ticket_id', m.ticket_id,
           'version', m.version, 'show_id', $1::uuid, 'booking_id', $2::uuid, 'seat',
           (SELECT p.guid FROM plan_seats p WHERE p.plan_id = (SELECT s.plan_id FROM shows s WHERE s.show_id = $1::uuid) AND p.seat_no = m.seat_no),
           'seat_no', m.seat_no, 'transfer_id', nullif($6::uuid, '00000000-0000-0000-0000-000000000000'))) ORDER BY m.seat_no)
    FROM made m HAVING count(*) > 0)
SELECT m.ticket_id, m.seat_no, m.state, m.key_id, a.sealed_secret FROM made m, active a ORDER BY m.seat_no
