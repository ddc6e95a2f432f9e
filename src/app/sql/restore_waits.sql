-- What has to be done before sales are opened after a restore: payments and refunds whose time has come, locks whose time is over.
SELECT (SELECT count(*) FROM payments p WHERE p.settle_at <= statement_timestamp())
     + (SELECT count(*) FROM refunds r WHERE r.settle_at <= statement_timestamp()) AS unsettled,
       (SELECT count(*) FROM seat_locks l WHERE l.state = 'active' AND l.expires_at <= statement_timestamp()) AS over
