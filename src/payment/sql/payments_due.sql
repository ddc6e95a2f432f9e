-- Attempts whose time has come, oldest first. Reads only, over all shows; each is then taken by payment_lease.
SELECT p.show_id, p.payment_id FROM payments p
 WHERE p.settle_at <= statement_timestamp()
 ORDER BY p.settle_at LIMIT $1::int
