-- A transfer: of which booking, by which request, to whom, which seats, and the tickets it made. Reads only.
SELECT t.booking_id, t.request_hash, t.seats, y.name, y.email, t.at,
       ARRAY (SELECT k.ticket_id FROM tickets k WHERE k.booking_id = t.booking_id AND k.show_id = t.show_id
               AND k.transfer_id = t.transfer_id ORDER BY k.seat_no) AS tickets
  FROM ticket_transfers t
 CROSS JOIN LATERAL (SELECT k.name, k.email FROM buyers k WHERE k.buyer_id = t.to_buyer LIMIT 1) y
 WHERE t.show_id = $1::uuid AND t.transfer_id = $2::uuid
