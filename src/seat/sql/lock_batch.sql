-- The decision about a batch of lock requests of one show; see the function for what it locks. $13: the plan each request numbered its
-- seats by; if the show has another by now the statement fails, at its end (show_plans_hold), and nothing of it is kept.
SELECT b.*, show_plans_hold(array_fill($1::uuid, ARRAY[cardinality($13::uuid[])]), $13::uuid[]) AS plans_hold
  FROM seat_lock_batch($1::uuid, $2::uuid, $3::interval, $4::int, $5::boolean, $6::uuid[], $7::uuid[], $8::uuid[],
  $9::bytea[], $10::uuid[], $11::int[], $12::int[]) b
