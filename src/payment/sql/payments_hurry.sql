-- The show was called off: nobody waits at the bank for it any longer. The bound of each attempt that does is now, and the settling
-- duty looks at it at once unless somebody is at it. By the first half of the key: all attempts of the show are read.
UPDATE payments p
   SET action_until = statement_timestamp(),
       settle_at = CASE WHEN p.ask_after <= statement_timestamp() THEN statement_timestamp() ELSE p.settle_at END
 WHERE p.show_id = $1::uuid
   AND CASE WHEN p.state = 'requires_action' THEN p.action_until > statement_timestamp() END -- (in a CASE: see booking_confirm)
