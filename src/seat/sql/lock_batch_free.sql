-- The decision about a batch of lock requests in whose way nothing stands; see the function for what it locks. $24: the plan of
-- each show that the seats are numbered by, as in lock_batch.
SELECT b.*, show_plans_hold($3::uuid[], $24::uuid[]) AS plans_hold
  FROM seat_lock_batch_free($1::interval, $2::int, $3::uuid[], $4::int8[], $5::uuid[], $6::int[], $7::uuid[], $8::uuid[],
  $9::bytea[], $10::uuid[], $11::int8[], $12::text[], $13::boolean[], $14::int[], $15::int[], $16::int[], $17::int8[],
  $18::int2[], $19::int[], $20::int[], $21::int[], $22::int[], $23::text[]) b
