-- How many notifications are due, how many failed in the last day, and for how long the oldest that is due has been waiting, in
-- microseconds; counted to ten thousand. Reads only.
SELECT (SELECT count(*) FROM (SELECT 1 FROM notifications n WHERE n.state = 'queued' AND n.due_at <= statement_timestamp() LIMIT 10000) q),
       (SELECT count(*) FROM (SELECT 1 FROM notifications n WHERE n.state = 'failed' AND n.ended_at > statement_timestamp() - interval '1 day'
                               LIMIT 10000) f),
       coalesce((SELECT (extract(epoch FROM statement_timestamp() - n.created_at) * 1000000)::bigint FROM notifications n
                  WHERE n.state = 'queued' AND n.due_at <= statement_timestamp() + interval '10 minutes'
                  ORDER BY n.due_at LIMIT 1), 0)
