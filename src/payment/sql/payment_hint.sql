-- The gateway says that something happened to the intent ($3) of an attempt that is not through: it is due, as soon as whoever is
-- at it may be overtaken (ask_after). No state changes by it. free: it may be asked about at once. (The states in a CASE: said
-- plainly they would make the index of live attempts, payments_one_live, look as good as the key on empty tables.)
UPDATE payments p SET settle_at = least(p.settle_at, greatest(p.ask_after, statement_timestamp()))
 WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid
   AND CASE WHEN p.state IN ('created', 'requires_action', 'authorised') THEN true ELSE false END
   AND p.intent_id IN ('', $3::text)
RETURNING p.ask_after <= statement_timestamp() AS free
