-- Events that are set aside, oldest first, with how many of the same name wait behind each; $1: also what was left out. Reads only.
SELECT p.outbox_id || ':' || p.place AS event_id, p.state, p.topic, p.aggregate, p.show_id,
       (SELECT count(*) FROM outbox_parked w WHERE w.state = 'waiting' AND w.show_id = p.show_id AND w.topic = p.topic
           AND w.aggregate = p.aggregate AND w.seq >= p.seq) AS behind,
       to_char(p.parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS since,
       p.cause || CASE p.wish WHEN '' THEN '' ELSE ' (asked for: ' || p.wish || ')' END AS cause
  FROM outbox_parked p WHERE p.state = 'refused' OR (p.state = 'skipped' AND $1::boolean)
 ORDER BY p.parked_at, p.seq, p.place
