-- Counts what was asked, by whom (keyed hashes), in this hour. A row for each kind of asker, in the order of $1, which every
-- caller gives in the same order: how often, and when the hour ends. Locks these rows.
INSERT INTO request_counts AS c (what, who, since, n)
SELECT w.what, w.who, date_trunc('hour', statement_timestamp(), 'UTC'), 1
  FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS w (what, who, i) ORDER BY w.i
ON CONFLICT (what, who, since) DO UPDATE SET n = c.n + 1
RETURNING c.what, c.n, ceil(extract(epoch FROM c.since + interval '1 hour' - statement_timestamp()))::bigint AS wait_s
