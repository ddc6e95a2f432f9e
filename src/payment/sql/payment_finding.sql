-- Something that a person has to look at, once per thing and kind, however often it is seen. Seen again it is open again if the
-- reconciler had settled it; what a person has settled stays settled. Locks the finding's row. times: how often it was seen.
INSERT INTO payment_findings AS f (finding_id, kind, gateway_id, subject_id, show_id, booking_id, amount_minor, currency, detail)
VALUES ($1::uuid, $2::text, $3::text, $4::uuid, $5::uuid, $6::uuid, $7::bigint, $8::text, $9::text)
ON CONFLICT (gateway_id, subject_id, kind) DO UPDATE
   SET seen_at = statement_timestamp(), times = f.times + 1, detail = excluded.detail, amount_minor = excluded.amount_minor,
       currency = excluded.currency,
       found_at = CASE WHEN f.settled_by = 'reconciler' THEN statement_timestamp() ELSE f.found_at END,
       settled_at = CASE WHEN f.settled_by = 'reconciler' THEN 'infinity' ELSE f.settled_at END,
       settled_how = CASE WHEN f.settled_by = 'reconciler' THEN '' ELSE f.settled_how END,
       settled_by = CASE WHEN f.settled_by = 'reconciler' THEN '' ELSE f.settled_by END
RETURNING f.times, f.settled_at = 'infinity' AS open
