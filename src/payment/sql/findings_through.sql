-- Attempts and refunds that were found unsettled for long and are through now. (A subquery by key for each: there are few open
-- findings, and a join might read all payments.)
UPDATE payment_findings f SET settled_at = statement_timestamp(), settled_by = 'reconciler', settled_how = 'it is through'
 WHERE f.settled_at = 'infinity'
   AND CASE f.kind
         WHEN 'attempt_unsettled' THEN coalesce((SELECT p.settle_at = 'infinity' FROM payments p
                                                  WHERE p.show_id = f.show_id AND p.payment_id = f.subject_id), true)
         WHEN 'refund_unsettled' THEN coalesce((SELECT r.settle_at = 'infinity' FROM refunds r
                                                 WHERE r.show_id = f.show_id AND r.refund_id = f.subject_id), true)
         ELSE false END
