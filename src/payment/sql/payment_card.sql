-- With which card an attempt is paid, of an event that counts them. In the transaction that authorises it, before.
UPDATE payments p SET card_hash = $4::bytea
 WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid AND p.generation = $3::int
RETURNING p.payment_id
