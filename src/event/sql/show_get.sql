-- A show with all that is said of it. A show of a draft event is a draft, whatever its own row says. keeps_plan: something of it was
-- held once (as in show_traces), so it moves to no other plan any more. Reads only.
SELECT s.show_id, s.event_id, s.organizer_id, s.venue_id, s.plan_id,
       CASE WHEN e.status = 'draft' THEN 'draft' ELSE s.status END, s.starts_at, s.timezone, s.sale_starts_at,
       s.sale_ends_at, s.currency::text, s.prices, s.capacity, s.cancel_until, s.cancel_fee_minor, s.request_hash,
       e.name, e.category, e.status = 'published', e.max_per_payer, v.name, v.city, v.address, v.country, p.version,
       statement_timestamp() AS now, s.xmin::text::bigint AS revision,
       s.reschedules, s.refund_until, s.transferable,
       coalesce((SELECT true FROM seat_locks l WHERE l.show_id = $1::uuid LIMIT 1),
                (SELECT true FROM bookings b WHERE b.show_id = $1::uuid LIMIT 1),
                (SELECT true FROM seat_lock_history h WHERE h.show_id = $1::uuid LIMIT 1), false) AS keeps_plan,
       s.verification = 'required' AS verification
  FROM shows s
  JOIN events e ON e.event_id = s.event_id
  JOIN venues v ON v.venue_id = s.venue_id
  JOIN seating_plans p ON p.plan_id = s.plan_id
 WHERE s.show_id = $1::uuid
