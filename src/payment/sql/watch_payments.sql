-- For the metrics: attempts that are not through, by state, and how long the oldest is overdue. Reads only those that are open.
SELECT p.state, count(*) AS n,
       coalesce(extract(epoch FROM statement_timestamp() - min(p.settle_at) FILTER (WHERE p.settle_at <= statement_timestamp())), 0)::bigint AS lag_seconds
  FROM payments p WHERE p.settle_at < 'infinity' GROUP BY p.state
