-- Counts a guess under each key ($1, at most $2 within $3) before anything is looked up, so that guesses at the same time count
-- too; answers how long to wait in seconds, 0 when the guess may be made. Locks the keys' rows, in their order.
WITH tried AS (
  INSERT INTO staff_tries (key, tries, ends_at)
  SELECT k, 1, statement_timestamp() + $3::interval FROM unnest($1::bytea[]) AS k ORDER BY k
  ON CONFLICT (key) DO UPDATE
    SET tries = CASE WHEN staff_tries.ends_at <= statement_timestamp() THEN 1 ELSE least(staff_tries.tries + 1, 1000000) END,
        ends_at = CASE WHEN staff_tries.ends_at <= statement_timestamp() THEN excluded.ends_at ELSE staff_tries.ends_at END
  RETURNING key, tries, ends_at)
SELECT coalesce(max(ceil(extract(epoch FROM t.ends_at - statement_timestamp()))), 0)::int
  FROM tried t JOIN unnest($1::bytea[], $2::int[]) AS l (key, most) ON l.key = t.key
 WHERE t.tries > l.most
