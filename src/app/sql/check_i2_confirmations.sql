-- I2: what was confirmed is confirmed, or was ended by a recorded cancellation with its reason.
SELECT b.show_id, 'booking ' || b.reference || ' was confirmed and is ' || b.state AS fault
  FROM bookings b
 WHERE b.confirmed_at IS NOT NULL AND b.state NOT IN ('confirmed', 'cancelled')
UNION ALL
SELECT b.show_id, 'booking ' || b.reference || ' is ' || b.state || ' without a recorded '
       || CASE WHEN b.reason = '' THEN 'reason' ELSE 'time' END
  FROM bookings b
 WHERE (b.state IN ('cancelled', 'failed') AND (b.reason = '' OR b.ended_at IS NULL))
    OR (b.state = 'confirmed' AND b.confirmed_at IS NULL)
UNION ALL
SELECT b.show_id, 'booking ' || b.reference || ' is confirmed without a seat'
  FROM bookings b
 WHERE b.state = 'confirmed'
   AND NOT EXISTS (SELECT 1 FROM booking_seats x WHERE x.show_id = b.show_id AND x.booking_id = b.booking_id AND x.released_at IS NULL)
UNION ALL
SELECT o.show_id, 'booking ' || (e.j ->> 'booking_id') || ' was announced as confirmed and is ' || coalesce(b.state, 'not there')
  FROM outbox_events o CROSS JOIN LATERAL json_array_elements(CASE json_typeof(o.events) WHEN 'array' THEN o.events ELSE '[]' END) AS e (j)
  LEFT JOIN bookings b ON b.show_id = o.show_id AND b.booking_id = (e.j ->> 'booking_id')::uuid
 WHERE o.topic = 'booking' AND e.j ->> 'type' = 'booking.confirmed' AND (b.state IN ('confirmed', 'cancelled')) IS NOT TRUE
 ORDER BY 1, 2
