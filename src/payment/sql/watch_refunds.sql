-- For the metrics: refunds that are not through, by state, and how long the oldest is overdue. Reads only those that are open.
SELECT r.state, count(*) AS n,
       coalesce(extract(epoch FROM statement_timestamp() - min(r.settle_at) FILTER (WHERE r.settle_at <= statement_timestamp())), 0)::bigint AS lag_seconds
  FROM refunds r WHERE r.settle_at < 'infinity' GROUP BY r.state
