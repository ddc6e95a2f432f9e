-- I1, I2, I3 (our own half) and I6 of the bookings of which something was told in the last $1, at most $2 rows that are not out yet and
-- $2 of the log, the newest; and of those ($3 shows, $4 bookings) that were at fault before. Reads only. Each table is read by the keys of one booking at
-- a time, whatever the planner believes of their sizes: hence LATERAL with LIMIT, and counts where EXISTS would do.
WITH told AS (
  (SELECT o.show_id, o.events
     FROM outbox_partitions p
    CROSS JOIN LATERAL (SELECT q.show_id, q.events FROM outbox q
                         WHERE outbox_partition(q.show_id) = p.partition AND q.topic IN ('booking', 'payment')
                           AND q.created_at > statement_timestamp() - $1::interval LIMIT $2::int) o
    WHERE p.partition >= 0 LIMIT $2::int)
  UNION ALL
  (SELECT l.show_id, l.events FROM outbox_log l
    WHERE l.published_at > statement_timestamp() - $1::interval AND l.created_at > statement_timestamp() - $1::interval
      AND l.topic IN ('booking', 'payment')
    ORDER BY l.published_at DESC LIMIT $2::int)),
named AS (
  SELECT t.show_id, (e.j ->> 'booking_id')::uuid AS booking_id
    FROM told t CROSS JOIN LATERAL json_array_elements(CASE json_typeof(t.events) WHEN 'array' THEN t.events ELSE '[]' END) AS e (j)
   WHERE json_typeof(e.j) = 'object' AND e.j ->> 'booking_id' IS NOT NULL
  UNION
  SELECT r.show_id, r.booking_id FROM unnest($3::uuid[], $4::uuid[]) AS r (show_id, booking_id)),
seen AS MATERIALIZED (
  SELECT n.show_id, n.booking_id, b.reference, b.state, b.reason, b.confirmed_at, b.ended_at, b.fee_kept_minor AS fee, x.live,
         x.live_minor, x.astray, x.doubled,
         (SELECT count(*) FROM tickets t WHERE t.show_id = n.show_id AND t.booking_id = n.booking_id AND t.state <> 'revoked') AS tickets,
         (SELECT coalesce(sum(p.amount_minor), 0) FROM payments p WHERE p.show_id = n.show_id AND p.booking_id = n.booking_id
             AND p.state IN ('authorised', 'captured')) AS taken,
         (SELECT coalesce(sum(r.amount_minor), 0) FROM refunds r
             CROSS JOIN LATERAL (SELECT p.state FROM payments p WHERE p.show_id = r.show_id AND p.payment_id = r.payment_id LIMIT 1) p
            WHERE r.show_id = n.show_id AND r.booking_id = n.booking_id AND r.state <> 'failed' AND r.kind <> 'goodwill'
              AND p.state IN ('authorised', 'captured')) AS given_back
    FROM named n
   CROSS JOIN LATERAL (SELECT b.* FROM bookings b WHERE b.show_id = n.show_id AND b.booking_id = n.booking_id LIMIT 1) b
   CROSS JOIN LATERAL (
     SELECT count(*) AS live, coalesce(sum(s.price_minor), 0) AS live_minor,
            count(*) FILTER (WHERE v.state IS DISTINCT FROM 2 OR v.lock_id <> b.lock_id) AS astray,
            count(*) FILTER (WHERE o.owners > 1) AS doubled
       FROM booking_seats s
       LEFT JOIN LATERAL (SELECT w.state, w.lock_id FROM show_seats w
                           WHERE w.show_id = s.show_id AND w.seat_no = s.seat_no LIMIT 1) v ON true
      CROSS JOIN LATERAL (SELECT count(*) AS owners FROM booking_seats d WHERE d.show_id = s.show_id AND d.seat_no = s.seat_no
                             AND d.released_at IS NULL) o
      WHERE s.show_id = n.show_id AND s.booking_id = n.booking_id AND s.released_at IS NULL) x)
SELECT f.invariant, f.show_id, f.booking_id, f.fault FROM (
SELECT 1 AS invariant, s.show_id, s.booking_id, 'booking ' || s.reference || ' (' || s.state || ') has ' || s.live || ' seats, of which '
       || s.astray || ' are not its own on the show and ' || s.doubled || ' belong to another one too' AS fault
  FROM seen s WHERE s.astray > 0 OR s.doubled > 0 OR (s.live > 0 AND s.state <> 'confirmed')
UNION ALL
SELECT 2, s.show_id, s.booking_id, 'booking ' || s.reference || ' is ' || s.state || CASE WHEN s.confirmed_at IS NULL THEN '' ELSE ', was confirmed' END
       || ', has ' || s.live || ' seats' || CASE s.reason WHEN '' THEN ' and no reason' ELSE '' END
  FROM seen s
 WHERE (s.confirmed_at IS NOT NULL AND s.state NOT IN ('confirmed', 'cancelled')) OR (s.state = 'confirmed' AND s.live = 0)
    OR (s.state IN ('cancelled', 'failed') AND (s.reason = '' OR s.ended_at IS NULL)) OR (s.state = 'confirmed' AND s.confirmed_at IS NULL)
UNION ALL
SELECT 3, s.show_id, s.booking_id, 'booking ' || s.reference || ' (' || s.state || '): taken ' || s.taken || ' less refunds ' || s.given_back
       || ' is not seats ' || s.live_minor || ' plus fee ' || s.fee
  FROM seen s WHERE s.taken - s.given_back <> s.live_minor + s.fee
UNION ALL
SELECT 6, s.show_id, s.booking_id, 'booking ' || s.reference || ' (' || s.state || ') has ' || s.tickets || ' tickets for ' || s.live || ' seats'
  FROM seen s WHERE s.tickets <> CASE s.state WHEN 'confirmed' THEN s.live ELSE 0 END) f
