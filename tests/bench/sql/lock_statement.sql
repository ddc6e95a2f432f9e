-- The denominator of `lock_statement`: the work of lock_transaction.sql in a single statement, one round trip per lock.
-- A lock that did not get both seats fails by dividing by zero, so that it is not counted.
--   -D show=UUID seats=N clients=C sessions=N first_id=N i=0
\set i :i + 1
\set mine (:seats / :clients) / 2 * 2
\set seat1 :client_id * :mine + mod(2 * :i, :mine)
\set seat2 :seat1 + 1
\set id :first_id + :i * :clients + :client_id
\set buyer mod(:i * :clients + :client_id, :sessions)
WITH ids AS (
  SELECT lpad(to_hex(:id::bigint), 32, '0')::uuid AS lock_id, lpad(to_hex(:buyer::bigint), 32, '0')::uuid AS session_id),
show AS (
  SELECT s.prices, s.currency, i.lock_id, i.session_id FROM shows s, ids i
   WHERE s.show_id = :show::uuid AND s.status = 'published' AND statement_timestamp() >= s.sale_starts_at
     AND statement_timestamp() < s.sale_ends_at
     AND (SELECT count(*) FROM seat_locks l WHERE l.session_id = i.session_id AND l.show_id = :show::uuid
           AND (l.state = 'paying' OR (l.state = 'active' AND l.expires_at > statement_timestamp()))) < 2),
taken AS (
  UPDATE show_seats t SET state = 1, lock_id = w.lock_id, expires_at = statement_timestamp() + interval '300 s', fence = t.fence + 1
    FROM show w WHERE t.show_id = :show::uuid AND t.seat_no IN (:seat1::int, :seat2::int) AND t.state = 0
  RETURNING t.seat_no, t.fence, t.category),
whole AS (
  SELECT array_agg(seat_no ORDER BY seat_no) AS seats, array_agg(category ORDER BY seat_no) AS categories,
         json_object_agg(seat_no, fence) AS fences
    FROM taken HAVING count(*) = 2),
made AS (
  INSERT INTO seat_locks (show_id, lock_id, session_id, seats, prices, categories, total_minor, currency, created_at, expires_at, notify_buyer, request_hash)
  SELECT :show::uuid, w.lock_id, w.session_id, t.seats, ARRAY[w.prices[t.categories[1] + 1], w.prices[t.categories[2] + 1]], t.categories,
         w.prices[t.categories[1] + 1] + w.prices[t.categories[2] + 1], w.currency, statement_timestamp(),
         statement_timestamp() + interval '300 s', '00000000-0000-0000-0000-000000000000',
         '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'
    FROM show w, whole t),
told AS (
  INSERT INTO outbox (show_id, outbox_id, topic, events)
  SELECT :show::uuid, w.lock_id, 'seat', json_build_array(json_build_object('type', 'seat.locked', 'show_id', :show::uuid, 'lock_id', w.lock_id, 'seats', t.fences))
    FROM show w, whole t)
SELECT 1 / (SELECT count(*) FROM whole);
