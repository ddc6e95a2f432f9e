-- The tickets of a show that are good no more, for doors without a network. Reads only.
SELECT coalesce(array_agg(t.ticket_id ORDER BY t.ticket_id), '{}'::uuid[]) AS tickets, statement_timestamp() AS as_of
  FROM tickets t WHERE t.show_id = $1::uuid AND t.state = 'revoked'
