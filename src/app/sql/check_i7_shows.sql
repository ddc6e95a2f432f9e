-- I7: the shows whose seats are compared with Redis: those that are sold or may be again. What Redis has of others is
-- asked by nobody.
SELECT s.show_id FROM shows s
 WHERE s.status = 'published' AND s.sale_ends_at > transaction_timestamp()
 ORDER BY s.show_id
