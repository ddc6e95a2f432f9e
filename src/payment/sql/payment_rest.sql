-- Nobody is at an attempt any more: when it is to be looked at again ($4 from now, but not after what bounds it), and when it
-- may be asked about.
UPDATE payments p
   SET settle_at = CASE WHEN p.state IN ('captured', 'failed', 'voided', 'abandoned', 'capture_failed') AND NOT p.void_wanted
                          THEN 'infinity'
                        WHEN p.state = 'requires_action'
                          THEN greatest(least(statement_timestamp() + $4::interval, p.action_until),
                                        statement_timestamp() + interval '1 second')
                        WHEN p.state = 'created'
                          THEN greatest(least(statement_timestamp() + $4::interval, p.hold_until),
                                        statement_timestamp() + interval '1 second')
                        ELSE statement_timestamp() + $4::interval END,
       ask_after = statement_timestamp() + interval '1 second'
 WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid AND p.generation = $3::int
