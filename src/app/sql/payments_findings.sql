-- What the settling found and a person has to look at, oldest first; $1: also what is settled. What is only unsettled for long is
-- shown from its own row (payments_unsettled) while it is open.
SELECT f.finding_id, f.kind, f.amount_minor, f.currency, date_trunc('second', statement_timestamp() - f.found_at)::text AS age, f.times,
       f.detail, f.gateway_id, CASE WHEN f.subject_id = '00000000-0000-0000-0000-000000000000' THEN '' ELSE f.subject_id::text END AS subject,
       coalesce((SELECT b.reference FROM bookings b WHERE b.show_id = f.show_id AND b.booking_id = f.booking_id), '') AS reference,
       CASE WHEN f.settled_at = 'infinity' THEN '' ELSE to_char(f.settled_at, 'YYYY-MM-DD HH24:MI:SS') || ' by ' || f.settled_by || ': ' || f.settled_how END AS settled
  FROM payment_findings f
 WHERE f.settled_at = 'infinity' AND f.kind NOT IN ('attempt_unsettled', 'refund_unsettled')
    OR $1::boolean AND f.settled_at < 'infinity'
 ORDER BY f.found_at LIMIT 500
