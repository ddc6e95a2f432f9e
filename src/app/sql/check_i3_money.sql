-- I3, our own half: what a booking's payments took, less what was given back for seats, is the price of its live seats and
-- the fee kept. A capture that is not proven yet counts as taken; a refund that failed does not count as given back, unless a
-- person has settled its finding (it was given back in another way), and then less what was sent again as another refund.
WITH elsewhere AS (
  SELECT r.show_id, r.refund_id,
         r.amount_minor - coalesce((SELECT sum(e.amount_minor) FROM payment_events e
                                     WHERE e.show_id = r.show_id AND e.booking_id = r.booking_id AND e.to_state = 'requested'
                                       AND e.why LIKE 'again, in place of ' || r.refund_id || ', by %'), 0) AS minor
    FROM payment_findings f
    JOIN refunds r ON r.show_id = f.show_id AND r.refund_id = f.subject_id AND r.state = 'failed'
   WHERE f.kind = 'refund_failed' AND f.settled_at < 'infinity' AND f.settled_by <> 'reconciler'),
sums AS (
  SELECT b.show_id, b.reference, b.state, b.fee_kept_minor,
         coalesce((SELECT sum(p.amount_minor) FROM payments p WHERE p.show_id = b.show_id AND p.booking_id = b.booking_id
                    AND p.state IN ('authorised', 'captured')), 0) AS taken,
         coalesce((SELECT sum(CASE r.state WHEN 'failed' THEN coalesce((SELECT e.minor FROM elsewhere e
                                                       WHERE e.show_id = r.show_id AND e.refund_id = r.refund_id), 0)
                               ELSE r.amount_minor END) FROM refunds r
                     JOIN payments p ON p.show_id = r.show_id AND p.payment_id = r.payment_id AND p.state IN ('authorised', 'captured')
                    WHERE r.show_id = b.show_id AND r.booking_id = b.booking_id AND r.kind <> 'goodwill'), 0) AS given_back,
         coalesce((SELECT sum(x.price_minor) FROM booking_seats x WHERE x.show_id = b.show_id AND x.booking_id = b.booking_id
                    AND x.released_at IS NULL), 0) AS live
    FROM bookings b)
SELECT s.show_id, 'booking ' || s.reference || ' (' || s.state || '): taken ' || s.taken || ' less refunds ' || s.given_back
       || ' is not seats ' || s.live || ' plus fee ' || s.fee_kept_minor AS fault
  FROM sums s
 WHERE s.taken - s.given_back <> s.live + s.fee_kept_minor
 ORDER BY 1, 2
