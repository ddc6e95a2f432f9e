-- The denominator of `journey`: lock, booking, payment and tickets by the statements that the program runs for them, in the
-- same transactions, one after the other. A line `@file argument | argument` is replaced by src/<file>.sql with its parameters
-- (pgbench.py does it), so what is measured here is always what the program runs. The lock itself is lock_transaction.sql's.
-- What the gateway answers is made up: it is not asked. A pipeline is a transaction without BEGIN and COMMIT, as the program has it.
--   -D show=UUID organizer=UUID seats=N clients=C sessions=N first_id=N i=-1
\set i :i + 1
\set mine (:seats / :clients) / 2 * 2
\set seat1 :client_id * :mine + 2 * :i
\set seat2 :seat1 + 1
\set id :first_id + :i * :clients + :client_id
\set buyer mod(:i * :clients + :client_id, :sessions)
BEGIN;
SELECT status, statement_timestamp() >= sale_starts_at AND statement_timestamp() < sale_ends_at AS on_sale, prices[1] AS price, currency, lpad(to_hex(:buyer::bigint), 32, '0')::uuid AS session_id, x.u1, x.u2, x.u3, x.u4, x.u5, x.u6, x.u7, x.u8, x.u9 FROM shows, (SELECT (h || '0000000000000001')::uuid AS u1, (h || '0000000000000002')::uuid AS u2, (h || '0000000000000003')::uuid AS u3, (h || '0000000000000004')::uuid AS u4, (h || '0000000000000005')::uuid AS u5, (h || '0000000000000006')::uuid AS u6, (h || '0000000000000007')::uuid AS u7, (h || '0000000000000008')::uuid AS u8, (h || '0000000000000009')::uuid AS u9 FROM (SELECT lpad(to_hex(:id::bigint), 16, '0') AS h) y) x WHERE show_id = :show::uuid \gset
SELECT count(*) AS held FROM seat_locks WHERE session_id = :session_id::uuid AND show_id = :show::uuid AND (state = 'paying' OR (state = 'active' AND expires_at > statement_timestamp())) \gset
UPDATE show_seats SET state = 1, lock_id = :u1::uuid, expires_at = statement_timestamp() + interval '300 s', fence = fence + 1 WHERE show_id = :show::uuid AND seat_no = :seat1::int AND state = 0 RETURNING fence AS fence1 \gset
UPDATE show_seats SET state = 1, lock_id = :u1::uuid, expires_at = statement_timestamp() + interval '300 s', fence = fence + 1 WHERE show_id = :show::uuid AND seat_no = :seat2::int AND state = 0 RETURNING fence AS fence2 \gset
INSERT INTO seat_locks (show_id, lock_id, session_id, seats, prices, categories, total_minor, currency, created_at, expires_at, notify_buyer, request_hash) VALUES (:show::uuid, :u1::uuid, :session_id::uuid, ARRAY[:seat1::int, :seat2::int], ARRAY[:price::bigint, :price::bigint], '{0,0}', 2 * :price::bigint, :currency, statement_timestamp(), statement_timestamp() + interval '300 s', '00000000-0000-0000-0000-000000000000', '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f');
INSERT INTO outbox (show_id, outbox_id, topic, events) VALUES (:show::uuid, :u1::uuid, 'seat', json_build_array(json_build_object('type', 'seat.locked', 'show_id', :show::uuid, 'lock_id', :u1::uuid, 'seats', json_build_object(:seat1::int, :fence1::int, :seat2::int, :fence2::int))));
COMMIT;
@booking/sql/booking_ask :show | :u1 | :session_id | :u1
BEGIN;
@booking/sql/booking_of_lock :show | :u1
@seat/sql/lock_pay :show | :u1 | :session_id | :u9
@booking/sql/buyer_create :u1 | :organizer | 'Ada Lovelace' | 'ada@example.org' | decode(lpad(to_hex(:id::bigint), 64, '0'), 'hex') | 'en'
@booking/sql/booking_create :show | :u1 | :u1 | :session_id | :u1 | to_hex(:id::bigint) | '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f' | :u2
@payment/sql/payment_create :show | :u1 | :u1 | :u1 | :u1 | '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f' | 'pm_card_visa' | '' | '30 s' | :u1 | :u3 | :call_create | 2 * :price::bigint | :currency
COMMIT;
@payment/sql/payment_confirm_call :show | :u1 | 1 | to_hex(:id::bigint) | '/v1/payment_intents/pi_8DuTj3TGL3o15hGSt1cNV5Vn/confirm' | 'payment_method=pm_card_visa' | '30 s' | 1 | 200 | 'req_2HRHowQDp23LsB' | :call_answer
BEGIN;
@payment/sql/payment_answer :show | :u1 | 'confirm' | 1 | 200 | 'req_rfubPaSiRMgaTV' | :call_answer
@payment/sql/payment_authorise :show | :u1 | 1 | :u2 | :u4 | 'buyer' | 'req_rfubPaSiRMgaTV' | '30 s'
@booking/sql/booking_confirm :show | :u1 | :u5
@seat/sql/lock_book :show | :u1 | :u6
@ticket/sql/tickets_issue :show | :u1 | ARRAY[:u1::uuid, :u2::uuid] | ARRAY[:seat1::int, :seat2::int] | :u7 | '00000000-0000-0000-0000-000000000000'
@payment/sql/payment_call_first :show | :u1 | 'capture' | '/v1/payment_intents/pi_8DuTj3TGL3o15hGSt1cNV5Vn/capture' | ''
COMMIT;
\startpipeline
@payment/sql/payment_answer :show | :u1 | 'capture' | 1 | 200 | 'req_4lPKZ0kAMCOPmS' | :call_answer
@payment/sql/payment_capture :show | :u1 | 1 | :u3 | :u8 | 'buyer' | 'req_4lPKZ0kAMCOPmS'
\endpipeline
@booking/sql/booking_get :show | :u1
@ticket/sql/tickets_read :show | :u1
