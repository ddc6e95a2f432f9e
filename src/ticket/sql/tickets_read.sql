-- The tickets of a booking, revoked ones too, with what signs their codes. Reads only.
SELECT t.ticket_id, t.seat_no, t.state, t.key_id, k.sealed_secret,
       t.transfer_id <> '00000000-0000-0000-0000-000000000000' AS transferred
  FROM tickets t JOIN ticket_keys k ON k.key_id = t.key_id
 WHERE t.show_id = $1::uuid AND t.booking_id = $2::uuid
 ORDER BY t.seat_no, t.issued_at, t.ticket_id
