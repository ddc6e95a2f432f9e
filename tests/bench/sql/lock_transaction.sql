-- The denominator of `lock`: the same durable work as the program's for one lock of two seats, one statement after the other
-- in a transaction of its own, as a program without a batcher would do it.
--
-- It writes every column that the program writes, and one outbox row per lock (the program: one per batch). Each client walks
-- a range of its own, so nobody waits for anybody's rows. A seat that is not free gives no row to \gset, which ends the client
-- with an error: whatever is counted has locked both seats. Ids are handed over from the first statement, as a program that
-- makes its own would do; they grow with time, like version 7.
--   -D show=UUID seats=N clients=C sessions=N first_id=N i=0
\set i :i + 1
\set mine (:seats / :clients) / 2 * 2
\set seat1 :client_id * :mine + mod(2 * :i, :mine)
\set seat2 :seat1 + 1
\set id :first_id + :i * :clients + :client_id
\set buyer mod(:i * :clients + :client_id, :sessions)
BEGIN;
SELECT status, statement_timestamp() >= sale_starts_at AND statement_timestamp() < sale_ends_at AS on_sale, prices[1] AS price, currency, lpad(to_hex(:id::bigint), 32, '0')::uuid AS lock_id, lpad(to_hex(:buyer::bigint), 32, '0')::uuid AS session_id FROM shows WHERE show_id = :show::uuid \gset
SELECT count(*) AS held FROM seat_locks WHERE session_id = :session_id::uuid AND show_id = :show::uuid AND (state = 'paying' OR (state = 'active' AND expires_at > statement_timestamp())) \gset
UPDATE show_seats SET state = 1, lock_id = :lock_id::uuid, expires_at = statement_timestamp() + interval '300 s', fence = fence + 1 WHERE show_id = :show::uuid AND seat_no = :seat1::int AND state = 0 RETURNING fence AS fence1 \gset
UPDATE show_seats SET state = 1, lock_id = :lock_id::uuid, expires_at = statement_timestamp() + interval '300 s', fence = fence + 1 WHERE show_id = :show::uuid AND seat_no = :seat2::int AND state = 0 RETURNING fence AS fence2 \gset
INSERT INTO seat_locks (show_id, lock_id, session_id, seats, prices, categories, total_minor, currency, created_at, expires_at, notify_buyer, request_hash) VALUES (:show::uuid, :lock_id::uuid, :session_id::uuid, ARRAY[:seat1::int, :seat2::int], ARRAY[:price::bigint, :price::bigint], '{0,0}', 2 * :price::bigint, :currency, statement_timestamp(), statement_timestamp() + interval '300 s', '00000000-0000-0000-0000-000000000000', '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f');
INSERT INTO outbox (show_id, outbox_id, topic, events) VALUES (:show::uuid, :lock_id::uuid, 'seat', json_build_array(json_build_object('type', 'seat.locked', 'show_id', :show::uuid, 'lock_id', :lock_id::uuid, 'seats', json_build_object(:seat1::int, :fence1::int, :seat2::int, :fence2::int))));
COMMIT;
