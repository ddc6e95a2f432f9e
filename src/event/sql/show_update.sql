-- Changes a show that show_lock has locked. A status or verification of NULL stays.
UPDATE shows SET plan_id = $2::uuid, capacity = $3::int, status = coalesce($4::text, status), sale_starts_at = $5::timestamptz,
                 sale_ends_at = $6::timestamptz, currency = $7::text, prices = $8::bigint[], cancel_until = $9::timestamptz,
                 cancel_fee_minor = $10::bigint, verification = coalesce($11::text, verification)
 WHERE show_id = $1::uuid AND status <> 'cancelled'
