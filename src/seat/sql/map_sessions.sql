-- The locks of a show that are alive, by session: what the limit counts. Reads only.
SELECT l.session_id, l.lock_id,
       greatest(1, (extract(epoch FROM l.expires_at - statement_timestamp()) * 1000)::bigint) AS ms
  FROM seat_locks l
 WHERE l.show_id = $1::uuid AND l.state IN ('active', 'paying') AND l.expires_at > statement_timestamp() - interval '30 minutes'
