-- The decision about a batch of lock requests of one show, in one call.
--
-- Requests are seat-disjoint and no two replace the same lock (the caller sees to both). Seats come in ascending order with
-- the request (from 1) each belongs to. Locks are taken in the order every writer keeps: seat_locks, then show_seats
-- ascending. A lock that must be taken over is tried without waiting, because its row comes after the seats here: when
-- somebody else holds it (the sweeper is just ending it) the answer for that request is 'again'.
--
-- outcome: 0 locked, 1 seats unavailable, 2 not on sale, 3 too many locks, 4 no such show, 5 this id belongs to another
-- request, 6 this id is there already (ask for it), 7 again, 8 what it replaces cannot be replaced
CREATE FUNCTION seat_lock_batch(
  p_show uuid, p_outbox uuid, p_lifetime interval, p_limit int, p_strict boolean,
  p_lock uuid[], p_session uuid[], p_replaces uuid[], p_hash bytea[], p_notify uuid[],
  p_seat int[], p_req int[])
RETURNS TABLE (
  req int, outcome smallint, seats int[], fences int[], prices bigint[], categories smallint[], total_minor bigint,
  currency text, created_at timestamptz, expires_at timestamptz,
  unavailable int[], unavailable_states smallint[], unavailable_fences int[], unavailable_locks uuid[], unavailable_ms bigint[],
  freed int[], freed_fences int[])
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  c_zero constant uuid := '00000000-0000-0000-0000-000000000000';
  v_now timestamptz := statement_timestamp();
  v_expires timestamptz := v_now + p_lifetime;
  v_n int := cardinality(p_lock);
  v_outcome smallint[] := array_fill(0::smallint, ARRAY[v_n]);
  v_show record;
  v_any boolean;
  v_old uuid[];
  v_old_got uuid[];
  -- what stood in the rows once they were ours
  s_seat int[]; s_req int[]; s_state smallint[]; s_fence int[]; s_lock uuid[]; s_exp timestamptz[]; s_cat smallint[];
BEGIN
  SELECT s.status, s.sale_starts_at, s.sale_ends_at, s.prices, s.currency::text AS currency INTO v_show
    FROM shows s WHERE s.show_id = p_show;
  IF NOT FOUND THEN
    RETURN QUERY SELECT i, 4::smallint, NULL::int[], NULL::int[], NULL::bigint[], NULL::smallint[], 0::bigint, NULL::text,
      NULL::timestamptz, NULL::timestamptz, NULL::int[], NULL::smallint[], NULL::int[], NULL::uuid[], NULL::bigint[],
      NULL::int[], NULL::int[] FROM generate_series(1, v_n) i;
    RETURN;
  END IF;

  -- Repeated requests first: the same id again is not a conflict, whatever else is true by now.
  SELECT coalesce(bool_or(true), false) INTO v_any FROM seat_locks l WHERE l.show_id = p_show AND l.lock_id = ANY (p_lock);
  IF NOT v_any THEN
    SELECT coalesce(bool_or(true), false) INTO v_any FROM seat_lock_history l
      WHERE l.show_id = p_show AND l.lock_id = ANY (p_lock);
  END IF;
  IF v_any THEN
    FOR i IN 1 .. v_n LOOP
      v_outcome[i] := coalesce((
        SELECT CASE WHEN l.request_hash = p_hash[i] AND l.session_id = p_session[i] THEN 6 ELSE 5 END
        FROM (SELECT a.request_hash, a.session_id FROM seat_locks a WHERE a.show_id = p_show AND a.lock_id = p_lock[i]
              UNION ALL
              SELECT h.request_hash, h.session_id FROM seat_lock_history h WHERE h.show_id = p_show AND h.lock_id = p_lock[i]) l
        LIMIT 1), 0);
    END LOOP;
  END IF;

  IF v_show.status <> 'published' OR v_now < v_show.sale_starts_at OR v_now >= v_show.sale_ends_at THEN
    FOR i IN 1 .. v_n LOOP
      IF v_outcome[i] = 0 THEN v_outcome[i] := 2; END IF;
    END LOOP;
  ELSE
    -- Locks to be replaced: mine, active, not over.
    SELECT array_agg(r) INTO v_old FROM unnest(p_replaces) r WHERE r <> c_zero;
    IF v_old IS NOT NULL THEN
      PERFORM 1 FROM seat_locks l WHERE l.show_id = p_show AND l.lock_id = ANY (v_old) ORDER BY l.lock_id FOR NO KEY UPDATE;
      FOR i IN 1 .. v_n LOOP
        IF v_outcome[i] = 0 AND p_replaces[i] <> c_zero AND NOT EXISTS (
          SELECT 1 FROM seat_locks l WHERE l.show_id = p_show AND l.lock_id = p_replaces[i]
            AND l.session_id = p_session[i] AND l.state = 'active' AND l.expires_at > v_now) THEN
          v_outcome[i] := 8;
        END IF;
      END LOOP;
    END IF;
    -- A session's share of a show. Redis counts exactly; without it two batches could each see the other's lock missing.
    IF p_strict THEN
      PERFORM pg_advisory_xact_lock(hashtextextended(p_show::text || k.s::text, 0))
        FROM (SELECT DISTINCT s FROM unnest(p_session) s ORDER BY s) k;
    END IF;
    FOR i IN 1 .. v_n LOOP
      IF v_outcome[i] = 0 AND (SELECT count(*) FROM seat_locks l
          WHERE l.session_id = p_session[i] AND l.show_id = p_show AND l.lock_id <> p_replaces[i]
            AND (l.state = 'paying' OR (l.state = 'active' AND l.expires_at > v_now))) >= p_limit THEN
        v_outcome[i] := 3;
      END IF;
    END LOOP;
  END IF;

  -- The rows, in order. Those of a replaced lock that are not wanted again have request -i.
  SELECT array_agg(x.seat_no), array_agg(x.req), array_agg(x.state), array_agg(x.fence), array_agg(x.lock_id),
         array_agg(x.expires_at), array_agg(x.category)
    INTO s_seat, s_req, s_state, s_fence, s_lock, s_exp, s_cat
    FROM (SELECT s.seat_no, w.req, s.state, s.fence, s.lock_id, s.expires_at, s.category
            FROM (SELECT u.seat_no, u.req FROM unnest(p_seat, p_req) AS u (seat_no, req) WHERE v_outcome[u.req] = 0
                  UNION ALL
                  SELECT o.seat_no, -r.i FROM unnest(p_replaces) WITH ORDINALITY r (lock_id, i)
                    JOIN seat_locks l ON l.show_id = p_show AND l.lock_id = r.lock_id
                    CROSS JOIN LATERAL unnest(l.seats) o (seat_no)
                    WHERE r.lock_id <> c_zero AND v_outcome[r.i::int] = 0 AND o.seat_no <> ALL (p_seat)) w (seat_no, req)
            JOIN show_seats s ON s.show_id = p_show AND s.seat_no = w.seat_no
           ORDER BY s.seat_no
             FOR NO KEY UPDATE OF s) x;

  IF s_seat IS NOT NULL THEN
    -- Requests with a seat that is neither free, nor expired, nor the one they give back.
    FOR i IN 1 .. cardinality(s_seat) LOOP
      IF s_req[i] > 0 AND s_state[i] IN (1, 2) AND s_lock[i] = p_lock[s_req[i]] THEN
        v_outcome[s_req[i]] := 6; -- the same transaction, sent again, found itself committed
      ELSIF s_req[i] > 0 AND NOT (s_state[i] = 0 OR (s_state[i] = 1 AND (s_exp[i] <= v_now
            OR (s_lock[i] = p_replaces[s_req[i]] AND p_replaces[s_req[i]] <> c_zero)))) THEN
        IF v_outcome[s_req[i]] = 0 THEN v_outcome[s_req[i]] := 1; END IF;
      END IF;
    END LOOP;

    -- Locks that end because their time has passed and somebody wants their seats.
    SELECT array_agg(DISTINCT s_lock[i]) INTO v_old FROM generate_subscripts(s_seat, 1) i
      WHERE s_req[i] > 0 AND v_outcome[s_req[i]] = 0 AND s_state[i] = 1 AND s_exp[i] <= v_now
        AND s_lock[i] <> p_replaces[s_req[i]];
    IF v_old IS NOT NULL THEN
      SELECT array_agg(g.lock_id) INTO v_old_got FROM (
        SELECT l.lock_id FROM seat_locks l WHERE l.show_id = p_show AND l.lock_id = ANY (v_old)
          ORDER BY l.lock_id FOR NO KEY UPDATE SKIP LOCKED) g;
      FOR i IN 1 .. cardinality(s_seat) LOOP
        IF s_req[i] > 0 AND v_outcome[s_req[i]] = 0 AND s_state[i] = 1 AND s_exp[i] <= v_now
            AND s_lock[i] = ANY (v_old) AND NOT s_lock[i] = ANY (coalesce(v_old_got, '{}'))
            AND EXISTS (SELECT 1 FROM seat_locks l WHERE l.show_id = p_show AND l.lock_id = s_lock[i]) THEN
          v_outcome[s_req[i]] := 7;
        END IF;
      END LOOP;
      -- Its other seats are given back when the sweeper comes to it (expired and not yet moved away).
      UPDATE seat_locks l SET state = 'expired', ended_at = v_now
        WHERE l.show_id = p_show AND l.lock_id = ANY (v_old_got) AND l.state = 'active'
          AND EXISTS (SELECT 1 FROM generate_subscripts(s_seat, 1) i
                      WHERE s_lock[i] = l.lock_id AND s_req[i] > 0 AND v_outcome[s_req[i]] = 0);
    END IF;

    UPDATE show_seats s SET state = 1, lock_id = p_lock[w.req], expires_at = v_expires, fence = s.fence + 1
      FROM unnest(s_seat, s_req) AS w (seat_no, req)
      WHERE w.req > 0 AND v_outcome[w.req] = 0 AND s.show_id = p_show AND s.seat_no = w.seat_no;
    UPDATE show_seats s SET state = 0, lock_id = c_zero, expires_at = '-infinity', fence = s.fence + 1
      FROM unnest(s_seat, s_req) AS w (seat_no, req)
      WHERE w.req < 0 AND v_outcome[-w.req] = 0 AND s.show_id = p_show AND s.seat_no = w.seat_no
        AND s.state = 1 AND s.lock_id = p_replaces[-w.req];
    UPDATE seat_locks l SET state = 'released', ended_at = v_now
      FROM unnest(p_replaces) WITH ORDINALITY r (lock_id, i)
      WHERE r.lock_id <> c_zero AND v_outcome[r.i::int] = 0 AND l.show_id = p_show AND l.lock_id = r.lock_id AND l.state = 'active';
    INSERT INTO seat_locks (show_id, lock_id, session_id, seats, prices, categories, total_minor, currency, created_at,
                            expires_at, notify_buyer, request_hash)
      SELECT p_show, p_lock[g.req], p_session[g.req], g.seats, g.prices, g.categories, g.total, v_show.currency, v_now,
             v_expires, p_notify[g.req], p_hash[g.req]
        FROM (SELECT w.req, array_agg(w.seat_no ORDER BY w.seat_no) AS seats,
                     array_agg(v_show.prices[w.cat + 1] ORDER BY w.seat_no) AS prices,
                     array_agg(w.cat ORDER BY w.seat_no) AS categories,
                     sum(v_show.prices[w.cat + 1])::bigint AS total
                FROM unnest(s_seat, s_req, s_cat) AS w (seat_no, req, cat)
                WHERE w.req > 0 AND v_outcome[w.req] = 0 GROUP BY w.req) g;
    IF 0 = ANY (v_outcome) THEN
      INSERT INTO outbox (show_id, outbox_id, topic, events)
        SELECT p_show, p_outbox, 'seat', json_agg(e.j ORDER BY e.req) FROM (
          SELECT abs(w.req) AS req, json_build_object(
                   'type', CASE WHEN w.req > 0 THEN 'seat.locked' ELSE 'seat.released' END,
                   'lock_id', CASE WHEN w.req > 0 THEN p_lock[w.req] ELSE p_replaces[-w.req] END,
                   'seats', json_object_agg(w.seat_no, w.fence + 1)) AS j
            FROM unnest(s_seat, s_req, s_fence) AS w (seat_no, req, fence)
            WHERE v_outcome[abs(w.req)] = 0 GROUP BY w.req
          UNION ALL -- the locks whose seats were taken over, before what took them
          SELECT 0, json_build_object('type', 'seat.lock_expired', 'lock_id', l.lock_id, 'seats', '{}'::json)
            FROM seat_locks l WHERE l.show_id = p_show AND l.lock_id = ANY (v_old_got) AND l.state = 'expired'
              AND l.ended_at = v_now) e;
    END IF;
  END IF;

  RETURN QUERY
    SELECT i, v_outcome[i], l.seats, w.fences, l.prices, l.categories, l.total_minor, v_show.currency, v_now, v_expires,
           b.seats, b.states, b.fences, b.locks, b.ms, f.seats, f.fences
      FROM generate_series(1, v_n) i
      LEFT JOIN seat_locks l ON v_outcome[i] = 0 AND l.show_id = p_show AND l.lock_id = p_lock[i]
      LEFT JOIN LATERAL (SELECT array_agg(s_fence[k] + 1 ORDER BY k) AS fences FROM generate_subscripts(s_seat, 1) k
                         WHERE s_req[k] = i AND v_outcome[i] = 0) w ON true
      LEFT JOIN LATERAL (SELECT array_agg(s_seat[k] ORDER BY k) AS seats, array_agg(s_state[k] ORDER BY k) AS states,
                                array_agg(s_fence[k] ORDER BY k) AS fences, array_agg(s_lock[k] ORDER BY k) AS locks,
                                array_agg(CASE WHEN s_exp[k] IN ('infinity', '-infinity') THEN 0 -- no clock: being paid, booked, blocked
                                               ELSE greatest(1, (extract(epoch FROM s_exp[k] - v_now) * 1000)::bigint) END
                                          ORDER BY k) AS ms
                           FROM generate_subscripts(s_seat, 1) k
                          WHERE v_outcome[i] = 1 AND s_req[k] = i AND NOT (s_state[k] = 0 OR (s_state[k] = 1
                            AND (s_exp[k] <= v_now OR (s_lock[k] = p_replaces[i] AND p_replaces[i] <> c_zero))))) b ON true
      LEFT JOIN LATERAL (SELECT array_agg(s_seat[k] ORDER BY k) AS seats, array_agg(s_fence[k] + 1 ORDER BY k) AS fences
                           FROM generate_subscripts(s_seat, 1) k WHERE s_req[k] = -i AND v_outcome[i] = 0) f ON true
     ORDER BY i;
END $$;

GRANT EXECUTE ON FUNCTION seat_lock_batch TO boxoffice_app;
