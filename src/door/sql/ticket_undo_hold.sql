-- The ticket whose use is to be undone: $2, or, when that is null, the one that the device's check-in $4 was about. Locks its row.
SELECT t.ticket_id FROM tickets t
 WHERE t.show_id = $1::uuid
   AND t.ticket_id = coalesce($2::uuid, (SELECT c.ticket_id FROM checkins c WHERE c.show_id = $1::uuid AND c.device = $3::text
                                           AND c.kind = 'use' AND c.nonce = $4::text))
   FOR NO KEY UPDATE
