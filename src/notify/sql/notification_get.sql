-- All that a claimed notification ($1, by claim $2) needs besides the show: to whom, of which booking or lock, what was paid and is given
-- back, and how many mails the address got in the last hour ($3 its most). Nobody (no row of buyers, or an erased one) has no address.
-- A lock that has ended may stand in the history. Reads only.
SELECT n.kind, n.show_id, n.booking_id, n.cause_id, n.data, n.created_at, n.attempts, n.message_id, n.not_after,
       coalesce(y.name, '') AS name, coalesce(y.email, '') AS email, coalesce(y.locale, 'en') AS locale, o.name AS organizer,
       coalesce(b.reference, '') AS reference, coalesce(b.state, '') AS booking_state,
       coalesce(b.seats, l.seats, '{}') AS seats, coalesce(b.prices, l.prices, '{}') AS prices,
       coalesce(b.total_minor, l.total_minor, 0) AS total_minor, coalesce(b.currency, l.currency, '')::text AS currency,
       coalesce(b.fee_kept_minor, 0) AS fee_minor, coalesce(b.buyer_id = n.buyer_id, true) AS own,
       ARRAY (SELECT x.seat_no FROM booking_seats x WHERE x.show_id = n.show_id AND x.booking_id = n.booking_id
               AND x.released_at IS NOT NULL ORDER BY x.seat_no) AS released,
       coalesce(l.state, '') AS lock_state, coalesce(l.expires_at, '-infinity') AS lock_expires_at,
       coalesce(p.state, '') AS payment_state, coalesce(p.failure, '') AS failure, coalesce(p.decline_code, '') AS decline_code,
       coalesce(r.of_cause, r.of_all, 0) AS refund_minor,
       coalesce((SELECT count(*) FROM (SELECT 1 FROM buyers k JOIN notifications m ON m.buyer_id = k.buyer_id
                                        WHERE k.email_hash = y.email_hash AND m.state = 'sent'
                                          AND m.ended_at > statement_timestamp() - interval '1 hour' LIMIT $3::int) c), 0) AS lately,
       b.created_at AS booked_at, statement_timestamp() AS now
  FROM notifications n
  JOIN organizers o ON o.organizer_id = n.organizer_id
  LEFT JOIN buyers y ON y.buyer_id = n.buyer_id AND y.erased_at IS NULL
  LEFT JOIN bookings b ON b.show_id = n.show_id AND b.booking_id = n.booking_id
  LEFT JOIN LATERAL (
    SELECT q.state, q.seats, q.prices, q.total_minor, q.currency, q.expires_at FROM (
      SELECT s.state, s.seats, s.prices, s.total_minor, s.currency, s.expires_at FROM seat_locks s
       WHERE s.show_id = n.show_id AND s.lock_id = coalesce(b.lock_id, n.cause_id)
      UNION ALL
      SELECT h.state, h.seats, h.prices, h.total_minor, h.currency, h.expires_at FROM seat_lock_history h
       WHERE h.show_id = n.show_id AND h.lock_id = coalesce(b.lock_id, n.cause_id)) q
     LIMIT 1) l ON true
  LEFT JOIN LATERAL (
    SELECT q.state, q.failure, q.decline_code FROM payments q
     WHERE q.show_id = n.show_id AND q.booking_id = n.booking_id
     ORDER BY q.payment_id = n.cause_id DESC, q.attempt_no DESC LIMIT 1) p ON true
  LEFT JOIN LATERAL (
    SELECT max(f.amount_minor) FILTER (WHERE f.refund_id = n.cause_id)::bigint AS of_cause,
           sum(f.amount_minor) FILTER (WHERE f.state <> 'failed' AND f.kind <> 'goodwill' AND f.failure <> 'not_captured')::bigint AS of_all
      FROM refunds f WHERE f.show_id = n.show_id AND f.booking_id = n.booking_id) r ON true
 WHERE n.notification_id = $1::uuid AND n.claim_id = $2::uuid AND n.state = 'queued'
