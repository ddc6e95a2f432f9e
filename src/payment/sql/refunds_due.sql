-- Refunds whose time has come, oldest first, one of a payment at a time. Reads only, over all shows.
SELECT d.show_id, d.refund_id
  FROM (SELECT DISTINCT ON (r.show_id, r.payment_id) r.show_id, r.refund_id, r.settle_at FROM refunds r
         WHERE r.settle_at <= statement_timestamp()
         ORDER BY r.show_id, r.payment_id, r.settle_at) d
 ORDER BY d.settle_at LIMIT $1::int
