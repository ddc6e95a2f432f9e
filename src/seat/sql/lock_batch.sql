-- The decision about a batch of lock requests of one show; see the function for what it locks.
SELECT * FROM seat_lock_batch($1::uuid, $2::uuid, $3::interval, $4::int, $5::boolean, $6::uuid[], $7::uuid[], $8::uuid[],
  $9::bytea[], $10::uuid[], $11::int[], $12::int[])
