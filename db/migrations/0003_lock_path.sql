-- The decision about a batch of lock requests when nothing is in the way: every seat free, every show on sale, nobody at
-- their limit. That is nearly always so, because Redis has admitted them, and then each table is written once, by one
-- statement for the whole batch, of one show or of many. A request that something stands in the way of is named in
-- `careful` and nothing of it is kept: the caller asks seat_lock_batch about it, which knows the reasons.
--
-- Not for requests that replace a lock or that Redis has not counted. p_known: the lock's id may be there already (it comes
-- from an Idempotency-Key, or a commit was lost).
--
-- shows:    p_show, p_revision (what the caller knew of the show: its row's xmin; another one means that prices or the sale
--           window may be others), p_outbox
-- requests: in the order of their shows, numbered from 1; p_req_show is the show's place. Their seats stand from p_from to
--           p_to in p_seats, p_prices, p_categories
-- rows:     the same seats ascending by show and seat, the order in which every writer takes them: w_show place of the
--           show, w_req the request, w_at the seat's place in p_seats, w_event the beginning of its part of the event
--
-- Locks show_seats ascending. Answers one row: times, the new fences by place in p_seats (w_at), and the careful ones.
CREATE FUNCTION seat_lock_batch_free(
  p_lifetime interval, p_limit int,
  p_show uuid[], p_revision bigint[], p_outbox uuid[],
  p_req_show int[], p_lock uuid[], p_session uuid[], p_hash bytea[], p_notify uuid[], p_total bigint[], p_currency text[],
  p_known boolean[],
  p_from int[], p_to int[],
  p_seats int[], p_prices bigint[], p_categories smallint[],
  w_show int[], w_seat int[], w_req int[], w_at int[], w_event text[])
RETURNS TABLE (created_at timestamptz, expires_at timestamptz, at int[], fences int[], careful int[])
LANGUAGE plpgsql SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
  c_zero constant uuid := '00000000-0000-0000-0000-000000000000';
  v_now timestamptz := statement_timestamp();
  v_expires timestamptz := v_now + p_lifetime;
  v_careful int[];
  v_at int[];
  v_req int[];
  v_fences int[];
  v_events text[];
BEGIN
  -- What stands in a request's way: its show is not on sale, or not as the caller knew it; its session holds too many locks
  -- (Redis has counted, this catches what it forgot); its id is there already. (A subquery per show and no join: for a join of
  -- ten shows, as is believed of an array, reading all that are on sale looks cheap.)
  v_careful := ARRAY(
    WITH other AS (
      SELECT w.i FROM unnest(p_show, p_revision) WITH ORDINALITY AS w (show_id, revision, i)
       WHERE w.revision IS DISTINCT FROM (
               SELECT s.xmin::text::bigint FROM shows s WHERE s.show_id = w.show_id AND s.status = 'published'
                  AND v_now >= s.sale_starts_at AND v_now < s.sale_ends_at))
    SELECT r.i::int FROM unnest(p_session, p_req_show, p_known, p_lock) WITH ORDINALITY
             AS r (session_id, show, known, lock_id, i)
     WHERE (SELECT count(*) FROM seat_locks l WHERE l.session_id = r.session_id AND l.show_id = p_show[r.show]
               AND (l.state = 'paying' OR (l.state = 'active' AND l.expires_at > v_now))) >= p_limit
        OR r.show IN (SELECT o.i FROM other o)
        OR (r.known AND coalesce( -- (no EXISTS: that may be answered by hashing the whole table)
              (SELECT true FROM seat_locks l WHERE l.show_id = p_show[r.show] AND l.lock_id = r.lock_id),
              (SELECT true FROM seat_lock_history h WHERE h.show_id = p_show[r.show] AND h.lock_id = r.lock_id LIMIT 1), false)));

  WITH taken AS (
    UPDATE show_seats s SET state = 1, lock_id = p_lock[w.req], expires_at = v_expires, fence = s.fence + 1
      FROM unnest(w_show, w_seat, w_req, w_at, w_event) AS w (show, seat_no, req, at, event)
     WHERE s.show_id = p_show[w.show] AND s.seat_no = w.seat_no AND s.state = 0 AND s.category = p_categories[w.at]
       AND w.req <> ALL (v_careful)
    RETURNING w.at, w.req, s.fence, w.event || s.fence AS event)
  SELECT array_agg(t.at), array_agg(t.req), array_agg(t.fence), array_agg(t.event) INTO v_at, v_req, v_fences, v_events
    FROM taken t;

  IF coalesce(cardinality(v_at), 0) <> cardinality(w_seat) THEN
    -- Requests of which not every seat could be had give back what they got, as it was.
    v_careful := ARRAY(
      SELECT r.i::int FROM unnest(p_from, p_to) WITH ORDINALITY AS r (a, z, i)
       WHERE r.z - r.a + 1 <> (SELECT count(*) FROM unnest(v_req) g (req) WHERE g.req = r.i));
    -- (Only what was taken here: under the very same lock id another process may hold them meanwhile.)
    UPDATE show_seats s SET state = 0, lock_id = c_zero, expires_at = '-infinity', fence = s.fence - 1
      FROM unnest(v_at, v_req) AS t (at, req)
     WHERE t.req = ANY (v_careful) AND s.show_id = p_show[p_req_show[t.req]] AND s.seat_no = p_seats[t.at];
  END IF;

  IF cardinality(v_careful) < cardinality(p_lock) THEN
    WITH made AS (
      INSERT INTO seat_locks (show_id, lock_id, session_id, seats, prices, categories, total_minor, currency, created_at,
                              expires_at, notify_buyer, request_hash)
      SELECT p_show[r.show], r.lock_id, r.session_id, p_seats[r.a:r.z], p_prices[r.a:r.z], p_categories[r.a:r.z], r.total,
             r.currency, v_now, v_expires, r.notify, r.hash
        FROM unnest(p_req_show, p_lock, p_session, p_hash, p_notify, p_total, p_currency, p_from, p_to) WITH ORDINALITY
               AS r (show, lock_id, session_id, hash, notify, total, currency, a, z, i)
       WHERE r.i <> ALL (v_careful))
    INSERT INTO outbox (show_id, outbox_id, topic, events)
    SELECT p_show[e.show], p_outbox[e.show], 'seat', ('[' || substr(e.text, 4) || '}}]')::json
      FROM (SELECT p_req_show[t.req] AS show, string_agg(t.event, '' ORDER BY t.at) AS text
              FROM unnest(v_at, v_req, v_events) AS t (at, req, event)
             WHERE t.req <> ALL (v_careful)
             GROUP BY p_req_show[t.req]) e;
  END IF;
  created_at := v_now;
  expires_at := v_expires;
  at := v_at;
  fences := v_fences;
  careful := v_careful;
  RETURN NEXT;
END $$;

GRANT EXECUTE ON FUNCTION seat_lock_batch_free TO boxoffice_app;

-- By age the outbox is only ever read in long stretches (what is old enough to go): ranges of pages are as good as a tree for
-- that, and cost nothing per row.
DROP INDEX outbox_by_age;
CREATE INDEX outbox_by_age ON outbox USING brin (created_at) WITH (autosummarize = on);

-- Which index a statement takes is settled when it is planned, and that is before the first sale, on empty tables. There every
-- index that begins with show_id looks as good as the one that fits, and taking another means to read all bookings of the show
-- for each: in the first minute a purchase became slower with every purchase before it. So only the keys by which rows are found
-- begin with show_id; the others contain it (which is all that a distribution by show asks for) but begin with what they are for.
ALTER TABLE bookings DROP CONSTRAINT bookings_show_id_lock_id_key;
ALTER TABLE bookings ADD CONSTRAINT bookings_show_id_lock_id_key UNIQUE (lock_id, show_id);

DROP INDEX booking_seats_one_owner;
CREATE UNIQUE INDEX booking_seats_one_owner ON booking_seats (seat_no, show_id) WHERE released_at IS NULL;

DROP INDEX payments_one_live;
CREATE UNIQUE INDEX payments_one_live ON payments (booking_id, show_id)
  WHERE state IN ('created', 'requires_action', 'authorised', 'captured');
DROP INDEX payments_by_booking;
CREATE INDEX payments_by_booking ON payments (booking_id, show_id, attempt_no);
DROP INDEX payments_by_request;
CREATE INDEX payments_by_request ON payments (request_id, show_id);
DROP INDEX payment_events_by_booking;
CREATE INDEX payment_events_by_booking ON payment_events (booking_id, show_id, at);

DROP INDEX refunds_by_booking;
CREATE INDEX refunds_by_booking ON refunds (booking_id, show_id);

DROP INDEX tickets_by_booking;
CREATE INDEX tickets_by_booking ON tickets (booking_id, show_id);
DROP INDEX tickets_one_valid;
CREATE UNIQUE INDEX tickets_one_valid ON tickets (booking_id, seat_no, show_id) WHERE state <> 'revoked';
