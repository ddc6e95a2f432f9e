-- Changes a show that show_lock has locked, and tells it. A status or verification of NULL stays. No row: it was called off.
WITH changed AS (
  UPDATE shows s
     SET plan_id = $2::uuid, capacity = $3::int, status = coalesce($4::text, s.status), sale_starts_at = $5::timestamptz,
         sale_ends_at = $6::timestamptz, currency = $7::text, prices = $8::bigint[], cancel_until = $9::timestamptz,
         cancel_fee_minor = $10::bigint, verification = coalesce($12::text, s.verification), version = s.version + 1
   WHERE s.show_id = $1::uuid AND s.status <> 'cancelled'
  RETURNING s.show_id, show_event('show.updated', s) AS event)
INSERT INTO outbox (show_id, outbox_id, topic, events)
SELECT c.show_id, $11::uuid, 'show', json_build_array(c.event) FROM changed c
