-- The tickets of a show that are not as they were issued: revoked, used, and used no more; those that changed since $2 (0: all). Reads
-- only; the show's tickets once.
--
-- cursor is what $2 is next time. A transaction that this snapshot does not see has a number of at least the snapshot's xmin, so
-- whatever is written from now on has one of at least cursor, and nothing is missed; it is no higher than it has to be, so that it
-- stays the same while nothing changes. xid: the number of the transaction that wrote the row, with its epoch; 0 when that was so
-- long ago that PostgreSQL has forgotten it: such a row is told every time.
WITH snapshot AS MATERIALIZED (
  SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS low, pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS high),
changed AS MATERIALIZED (
  SELECT t.ticket_id, t.state, t.used_at,
         CASE WHEN t.xmin::text::bigint < 3 THEN 0 ELSE s.high - ((s.high - t.xmin::text::bigint) & 4294967295) END AS xid
    FROM tickets t, snapshot s
   WHERE t.show_id = $1::uuid AND (t.state <> 'valid' OR t.version > 1)),
news AS MATERIALIZED (
  SELECT c.* FROM changed c WHERE c.xid >= $2::bigint OR c.xid = 0)
SELECT ARRAY (SELECT n.ticket_id FROM news n WHERE n.state = 'revoked' ORDER BY n.ticket_id) AS revoked,
       ARRAY (SELECT n.ticket_id FROM news n WHERE n.state = 'used' ORDER BY n.ticket_id) AS used,
       ARRAY (SELECT CASE WHEN isfinite(n.used_at) THEN (extract(epoch FROM n.used_at) * 1000000)::bigint ELSE 0 END
                FROM news n WHERE n.state = 'used' ORDER BY n.ticket_id) AS used_at,
       ARRAY (SELECT n.ticket_id FROM news n WHERE n.state = 'valid' AND $2::bigint > 0 ORDER BY n.ticket_id) AS valid,
       (SELECT least(min(s.low), coalesce((SELECT max(c.xid) FROM changed c), 0) + 1) FROM snapshot s) AS cursor,
       date_bin('5 minutes', statement_timestamp(), '2000-01-01') AS as_of
