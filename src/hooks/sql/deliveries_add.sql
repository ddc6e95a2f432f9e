-- Deliveries for the endpoints that want these events: of the show's organiser, made before the event, and there is room in their
-- queue ($8). Whatever is there already is left as it is, so the same events again do nothing. Events older than deliveries are kept
-- ($7) are not made anew. What finds no room is counted with its endpoint. Locks the rows of endpoints that had no room.
WITH ev AS (
  SELECT u.ord, u.id, u.type, u.show_id, u.aggregate, timestamptz 'epoch' + u.us * interval '1 microsecond' AS at, u.body
    FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::int8[], $6::text[])
         WITH ORDINALITY AS u (id, type, show_id, aggregate, us, body, ord)),
wanted AS (
  SELECT w.webhook_id, ev.ord, ev.id, ev.type, ev.aggregate, ev.at, ev.body,
         row_number() OVER (PARTITION BY w.webhook_id ORDER BY ev.ord) AS nth
    FROM ev
    JOIN shows s ON s.show_id = ev.show_id
    JOIN webhook_endpoints w ON w.organizer_id = s.organizer_id AND w.state <> 'deleted'
   WHERE w.created_at <= ev.at AND ev.at > statement_timestamp() - $7::interval
     AND w.event_types && ARRAY[ev.type, split_part(ev.type, '.', 1) || '.*', '*']
     AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.webhook_id = w.webhook_id AND d.event_id = ev.id)),
room AS (
  SELECT x.webhook_id, $8::int - (SELECT count(*) FROM (
           SELECT 1 FROM webhook_deliveries d WHERE d.webhook_id = x.webhook_id AND d.state = 'queued' LIMIT $8::int) q) AS n
    FROM (SELECT DISTINCT i.webhook_id FROM wanted i) x),
made AS (
  INSERT INTO webhook_deliveries (webhook_id, event_id, type, aggregate, event_at, body)
  SELECT i.webhook_id, i.id, i.type, i.aggregate, i.at, i.body
    FROM wanted i JOIN room r ON r.webhook_id = i.webhook_id
   WHERE i.nth <= r.n ORDER BY i.ord
  ON CONFLICT DO NOTHING
  RETURNING 1),
lost AS (
  UPDATE webhook_endpoints w SET dropped = w.dropped + l.n, dropped_at = statement_timestamp()
    FROM (SELECT i.webhook_id, count(*) AS n FROM wanted i JOIN room r ON r.webhook_id = i.webhook_id
           WHERE i.nth > r.n GROUP BY i.webhook_id) l
   WHERE w.webhook_id = l.webhook_id
  RETURNING l.n)
SELECT (SELECT count(*) FROM made) AS made, (SELECT coalesce(sum(l.n), 0)::int8 FROM lost l) AS lost
