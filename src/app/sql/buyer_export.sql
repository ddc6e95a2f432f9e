-- All that is kept about a person (as in buyer_erase), as one JSON text: what they booked, tickets that were given to them, mails to
-- them, and that they are of the staff; no row when nobody is known. Nothing that opens a door:
-- no tokens, no ticket codes, no card. Reads only.
WITH who AS (
  SELECT y.* FROM buyers y
   WHERE y.erased_at IS NULL AND (lower(y.email) = lower($1::text) OR y.buyer_id = nullif($2::text, '')::uuid)
     AND ($3::text = '' OR y.organizer_id = (SELECT o.organizer_id FROM organizers o WHERE o.name = $3::text))),
booked AS (
  SELECT b.created_at, jsonb_build_object(
           'booking_id', b.booking_id, 'buyer_id', b.buyer_id, 'reference', b.reference, 'status', b.state, 'reason', b.reason,
           'show_id', b.show_id, 'event', e.name, 'venue', v.name, 'starts_at', s.starts_at,
           'total', jsonb_build_object('amount', b.total_minor, 'currency', b.currency),
           'fee_kept', b.fee_kept_minor, 'created_at', b.created_at, 'confirmed_at', b.confirmed_at, 'ended_at', b.ended_at,
           'seats', (SELECT jsonb_agg(jsonb_build_object('guid', q.guid, 'price', w.price, 'released_at', x.released_at) ORDER BY w.seat_no)
                       FROM unnest(b.seats, b.prices) AS w (seat_no, price)
                       JOIN plan_seats q ON q.plan_id = s.plan_id AND q.seat_no = w.seat_no
                       LEFT JOIN booking_seats x ON x.show_id = b.show_id AND x.booking_id = b.booking_id AND x.seat_no = w.seat_no),
           'payments', (SELECT coalesce(jsonb_agg(jsonb_build_object('payment_id', p.payment_id, 'state', p.state,
                                 'amount', p.amount_minor, 'currency', p.currency, 'gateway_id', p.intent_id, 'failure', p.failure,
                                 'decline_code', p.decline_code, 'created_at', p.created_at) ORDER BY p.attempt_no), '[]')
                          FROM payments p WHERE p.show_id = b.show_id AND p.booking_id = b.booking_id),
           'refunds', (SELECT coalesce(jsonb_agg(jsonb_build_object('refund_id', r.refund_id, 'state', r.state, 'kind', r.kind,
                                'reason', r.reason, 'amount', r.amount_minor, 'currency', r.currency, 'gateway_id', r.gateway_id,
                                'created_at', r.created_at) ORDER BY r.created_at), '[]')
                         FROM refunds r WHERE r.show_id = b.show_id AND r.booking_id = b.booking_id),
           'tickets', (SELECT coalesce(jsonb_agg(jsonb_build_object('ticket_id', t.ticket_id, 'seat', q.guid, 'status', t.state,
                                'issued_at', t.issued_at) ORDER BY t.issued_at, t.seat_no), '[]')
                         FROM tickets t JOIN plan_seats q ON q.plan_id = s.plan_id AND q.seat_no = t.seat_no
                        WHERE t.show_id = b.show_id AND t.booking_id = b.booking_id)) AS booking
    FROM who
    JOIN bookings b ON b.buyer_id = who.buyer_id
    JOIN shows s ON s.show_id = b.show_id
    JOIN events e ON e.event_id = s.event_id
    JOIN venues v ON v.venue_id = s.venue_id),
given AS (
  SELECT f.at, jsonb_build_object('buyer_id', who.buyer_id, 'ticket_id', t.ticket_id, 'seat', q.guid, 'status', t.state, 'show_id', f.show_id,
                                  'event', e.name, 'starts_at', s.starts_at, 'given_at', f.at) AS ticket
    FROM who
    JOIN ticket_transfers f ON f.to_buyer = who.buyer_id
    JOIN tickets t ON t.show_id = f.show_id AND t.booking_id = f.booking_id AND t.transfer_id = f.transfer_id
    JOIN shows s ON s.show_id = f.show_id
    JOIN events e ON e.event_id = s.event_id
    JOIN plan_seats q ON q.plan_id = s.plan_id AND q.seat_no = t.seat_no),
mails AS (
  SELECT n.created_at, jsonb_build_object('buyer_id', n.buyer_id, 'kind', n.kind, 'status', n.state, 'booking_id', n.booking_id,
                                          'created_at', n.created_at) AS mail
    FROM who JOIN notifications n ON n.buyer_id = who.buyer_id),
people AS (
  SELECT u.* FROM staff_users u
   WHERE u.erased_at IS NULL AND $1::text <> '' AND u.email = lower($1::text)
     AND ($3::text = '' OR u.organizer_id = (SELECT o.organizer_id FROM organizers o WHERE o.name = $3::text)))
SELECT jsonb_pretty(jsonb_build_object(
         'records', (SELECT coalesce(jsonb_agg(jsonb_build_object('buyer_id', who.buyer_id, 'organizer', o.name, 'name', who.name, 'email', who.email,
                                                 'locale', who.locale, 'created_at', who.created_at)
                              ORDER BY who.created_at, who.buyer_id), '[]')
                       FROM who JOIN organizers o ON o.organizer_id = who.organizer_id),
         'bookings', (SELECT coalesce(jsonb_agg(k.booking ORDER BY k.created_at), '[]') FROM booked k),
         'tickets_given', (SELECT coalesce(jsonb_agg(g.ticket ORDER BY g.at), '[]') FROM given g),
         'mails', (SELECT coalesce(jsonb_agg(m.mail ORDER BY m.created_at), '[]') FROM mails m),
         'staff', (SELECT coalesce(jsonb_agg(jsonb_build_object('user_id', u.user_id, 'organizer', o.name, 'name', u.name, 'email', u.email,
                                                                'scopes', u.scopes, 'created_at', u.created_at)), '[]')
                     FROM people u JOIN organizers o ON o.organizer_id = u.organizer_id))) AS everything
 WHERE (SELECT count(*) FROM who) + (SELECT count(*) FROM people) > 0
