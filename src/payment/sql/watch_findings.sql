-- For the metrics: findings that nobody has settled, by kind. Reads only those that are open.
SELECT f.kind, count(*) AS n FROM payment_findings f WHERE f.settled_at = 'infinity' GROUP BY f.kind
