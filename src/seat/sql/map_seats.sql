-- Some seats of a show as they are, free ones too. As map_read. Reads only.
SELECT array_agg(s.seat_no ORDER BY s.seat_no) AS seats,
       array_agg(s.state ORDER BY s.seat_no) AS states,
       array_agg(s.fence ORDER BY s.seat_no) AS fences,
       array_agg(s.lock_id ORDER BY s.seat_no) AS locks,
       array_agg(CASE WHEN s.expires_at IN ('infinity', '-infinity') THEN 0
                      ELSE greatest(1, (extract(epoch FROM s.expires_at - statement_timestamp()) * 1000)::bigint) END
                 ORDER BY s.seat_no) AS ms
  FROM show_seats s
 WHERE s.show_id = $1::uuid AND s.seat_no = ANY ($2::int[])
