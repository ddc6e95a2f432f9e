-- The partitions of a relay for the next $2: those it has, but for $3, which it gives up, and as many that nobody has as its share is
-- short of. The share is the sixteen over the relays that are there; each says that it is by a lease of its own name. $1 is the
-- process. Answers a row for each, and the share; none: it has none. Locks its own rows of outbox_partitions, others without waiting.
WITH here AS (
  INSERT INTO leases AS l (name, holder, generation, until)
  VALUES ('relay ' || $1::text, $1::text, 1, statement_timestamp() + $2::interval)
  ON CONFLICT (name) DO UPDATE SET until = excluded.until),
share AS (
  SELECT ceil(16.0 / (1 + count(*)))::int AS n FROM leases l
   WHERE l.name LIKE 'relay %' AND l.holder <> $1::text AND l.until > statement_timestamp()),
given_up AS (
  UPDATE outbox_partitions p SET holder = '', until = '-infinity' WHERE p.holder = $1::text AND p.partition = ANY ($3::int[])),
renewed AS (
  UPDATE outbox_partitions p SET until = statement_timestamp() + $2::interval
   WHERE p.holder = $1::text AND p.partition <> ALL ($3::int[]) RETURNING p.partition, p.generation),
taken AS (
  UPDATE outbox_partitions p SET holder = $1::text, generation = p.generation + 1, until = statement_timestamp() + $2::interval
    FROM (SELECT f.partition FROM outbox_partitions f
           WHERE f.until <= statement_timestamp() AND f.holder <> $1::text AND f.partition <> ALL ($3::int[])
           ORDER BY f.until, f.partition
           LIMIT (SELECT greatest(0, s.n - (SELECT count(*) FROM renewed)) FROM share s) FOR UPDATE SKIP LOCKED) f
   WHERE p.partition = f.partition RETURNING p.partition, p.generation)
SELECT g.partition, g.generation, s.n AS share
  FROM (SELECT * FROM renewed UNION ALL SELECT * FROM taken) g CROSS JOIN share s ORDER BY 1
