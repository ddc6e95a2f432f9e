-- Shows that may be sold now (or were, a minute ago), after $1 in the order of ids. Reads only.
SELECT s.show_id FROM shows s
 WHERE s.show_id > $1::uuid AND s.status = 'published' AND s.sale_starts_at <= statement_timestamp()
   AND s.sale_ends_at > statement_timestamp() - interval '1 minute'
 ORDER BY s.show_id LIMIT $2::int
