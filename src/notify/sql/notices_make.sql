-- Notifications from events of bookings and payments, a batch at once: $1 the events' ids, $2 shows, $3 bookings, $4 the payment or
-- refund (or zeros), $5 kinds, $6 conditions (notices.h), $7 whether holders are told too, $8 seats as JSON, $9 reasons, $10 when. Idempotent:
-- the cause is what it is about, or the event, and a cause tells each person once of each kind. How things stand now decides, not how
-- they stood when the event was written; what lay in the outbox over an hour when this consumer began is told to nobody. Locks nothing but the rows it inserts; two at once are held apart by the unique index.
WITH e AS (
  SELECT e.*, substr(encode(sha256(convert_to(e.event_id, 'UTF8')), 'hex'), 1, 32)::uuid AS event_uuid
    FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::boolean[], $8::text[], $9::text[], $10::bigint[])
      AS e (event_id, show_id, booking_id, subject_id, kind, cond, holders, seats, reason, at_us)
   WHERE NOT EXISTS (SELECT 1 FROM consumers c
                      WHERE c.consumer = 'notifications' AND to_timestamp(e.at_us / 1e6) < c.made_at - interval '1 hour')),
stand AS (
  SELECT e.*, b.organizer_id, b.buyer_id, b.state AS booking_state, b.lock_id, b.currency, s.status AS show_status, l.state AS lock_state,
         l.expires_at, l.state = 'active' AND l.expires_at > statement_timestamp() + interval '10 seconds' AS lock_open,
         r.state AS refund_state, r.kind AS refund_kind, r.failure AS refund_failure, r.amount_minor AS refund_minor,
         b.reason = 'show_cancelled' AND r.kind = 'seats' AS promised
    FROM e
   CROSS JOIN LATERAL (SELECT k.organizer_id, k.buyer_id, k.state, k.lock_id, k.currency, k.reason FROM bookings k
                        WHERE k.show_id = e.show_id AND k.booking_id = e.booking_id LIMIT 1) b
   CROSS JOIN LATERAL (SELECT k.status FROM shows k WHERE k.show_id = e.show_id LIMIT 1) s
    LEFT JOIN LATERAL (SELECT k.state, k.expires_at FROM seat_locks k
                        WHERE k.show_id = e.show_id AND k.lock_id = b.lock_id AND e.cond = 'payment_over' LIMIT 1) l ON true
    LEFT JOIN LATERAL (SELECT k.state, k.kind, k.failure, k.amount_minor FROM refunds k
                        WHERE k.show_id = e.show_id AND k.refund_id = e.subject_id AND e.cond IN ('money_back', 'money_stuck') LIMIT 1) r ON true),
told AS (
  SELECT d.*,
         CASE d.cond
           WHEN 'payment_over' THEN CASE WHEN d.lock_open THEN d.booking_id ELSE d.lock_id END
           WHEN 'still_confirmed' THEN d.booking_id
           WHEN 'money_back' THEN d.subject_id
           ELSE d.event_uuid END AS cause_id,
         CASE WHEN d.cond = 'payment_over' AND d.lock_open THEN d.expires_at ELSE 'infinity' END AS not_after,
         CASE
           WHEN d.kind = 'booking_cancelled' THEN (
             SELECT json_build_object('seats', d.seats::json, 'reason', d.reason,
                      'amount_minor', coalesce(sum(x.refund_minor), 0)::bigint,
                      'fee_minor', CASE WHEN d.reason = 'payment_lost' THEN 0 ELSE coalesce(sum(x.price_minor - x.refund_minor), 0)::bigint END)
               FROM booking_seats x
              WHERE x.show_id = d.show_id AND x.booking_id = d.booking_id
                AND x.seat_no IN (SELECT t::int FROM json_array_elements_text(d.seats::json) t))
           WHEN d.cond = 'money_back' THEN json_build_object('refund_id', d.subject_id, 'outcome', 'succeeded', 'amount_minor', d.refund_minor)
           WHEN d.cond = 'money_stuck' THEN json_build_object('refund_id', d.subject_id, 'outcome', 'failed', 'amount_minor', d.refund_minor)
           ELSE '{}'::json END AS data
    FROM stand d
   WHERE CASE d.cond
           WHEN 'payment_over' THEN d.booking_state IN ('payment_pending', 'failed') AND d.show_status <> 'cancelled'
             AND coalesce(d.lock_state, '') <> 'paying'
           WHEN 'still_confirmed' THEN d.booking_state = 'confirmed' AND d.show_status <> 'cancelled'
           WHEN 'always' THEN true
           WHEN 'money_back' THEN d.refund_state = 'succeeded' AND d.refund_kind <> 'void' AND d.refund_failure <> 'not_captured'
             AND (NOT d.promised OR EXISTS (SELECT 1 FROM notifications n
                                             WHERE n.booking_id = d.booking_id AND n.kind = 'refunded'
                                               AND n.data ->> 'refund_id' = d.subject_id::text AND n.data ->> 'outcome' = 'failed'))
           WHEN 'money_stuck' THEN d.refund_state = 'failed' AND d.refund_kind <> 'void' AND d.refund_failure <> 'not_captured'
           ELSE false END)
INSERT INTO notifications (notification_id, organizer_id, kind, show_id, booking_id, buyer_id, cause_id, data, not_after)
SELECT gen_random_uuid(), t.organizer_id, t.kind, t.show_id, t.booking_id, w.buyer_id, t.cause_id, t.data, t.not_after
  FROM told t
 CROSS JOIN LATERAL (
       SELECT t.buyer_id
       UNION
       SELECT h.to_buyer FROM (
         -- who had each of these seats last
         SELECT DISTINCT ON (k.seat_no) f.to_buyer, k.seat_no FROM tickets k
           LEFT JOIN ticket_transfers f ON f.show_id = k.show_id AND f.transfer_id = k.transfer_id
          WHERE t.holders AND k.show_id = t.show_id AND k.booking_id = t.booking_id
            AND k.seat_no IN (SELECT u::int FROM json_array_elements_text(t.seats::json) u)
          ORDER BY k.seat_no, k.issued_at DESC, k.ticket_id DESC) h
        WHERE h.to_buyer IS NOT NULL) w
 CROSS JOIN LATERAL (SELECT y.email_hash FROM buyers y WHERE y.buyer_id = w.buyer_id AND y.email <> '' AND y.erased_at IS NULL LIMIT 1) y
 -- (each attempt names its buyer anew: the same address is the same person)
 WHERE t.cond <> 'payment_over'
    OR NOT EXISTS (SELECT 1 FROM notifications n
                    CROSS JOIN LATERAL (SELECT 1 FROM buyers o WHERE o.buyer_id = n.buyer_id AND o.email_hash = y.email_hash LIMIT 1) same
                    WHERE n.booking_id = t.booking_id AND n.kind = t.kind AND n.cause_id = t.cause_id)
ON CONFLICT DO NOTHING
