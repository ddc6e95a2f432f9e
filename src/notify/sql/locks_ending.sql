-- Who wants to be told that a lock is about to end is: once, a minute before, at most $1 at a time. Not of one that is being paid (no
-- clock runs then), nor when no mail would arrive in time. Found by the index of those who want it. Reads locks without locking them:
-- one that ends in this moment is dropped by the sender. The unique index keeps it to once.
INSERT INTO notifications (notification_id, organizer_id, kind, show_id, booking_id, buyer_id, cause_id, not_after)
SELECT gen_random_uuid(), y.organizer_id, 'lock_ending', l.show_id, '00000000-0000-0000-0000-000000000000', l.notify_buyer, l.lock_id,
       l.expires_at
  FROM (SELECT k.show_id, k.lock_id, k.notify_buyer, k.expires_at FROM seat_locks k
         WHERE k.notify_buyer <> '00000000-0000-0000-0000-000000000000'
           AND k.expires_at > statement_timestamp() + interval '10 seconds' AND k.expires_at <= statement_timestamp() + interval '60 seconds'
           AND k.state = 'active'
           AND (SELECT count(*) FROM notifications n WHERE n.cause_id = k.lock_id AND n.kind = 'lock_ending'
                   AND n.cause_id <> '00000000-0000-0000-0000-000000000000') = 0
         ORDER BY k.expires_at LIMIT $1::int) l
 CROSS JOIN LATERAL (SELECT b.organizer_id FROM buyers b WHERE b.buyer_id = l.notify_buyer AND b.email <> '' AND b.erased_at IS NULL
                      LIMIT 1) y
ON CONFLICT DO NOTHING
