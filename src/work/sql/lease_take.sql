-- Takes or renews a lease; a row when it is ours now. The generation rises with every change of hands.
INSERT INTO leases AS l (name, holder, generation, until)
VALUES ($1::text, $2::text, 1, statement_timestamp() + $3::interval)
ON CONFLICT (name) DO UPDATE
   SET holder = excluded.holder, until = excluded.until,
       generation = l.generation + CASE WHEN l.holder = excluded.holder THEN 0 ELSE 1 END
 WHERE l.holder = excluded.holder OR l.until <= statement_timestamp()
RETURNING l.generation
