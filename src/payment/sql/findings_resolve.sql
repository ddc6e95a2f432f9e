-- What was found about one thing of the gateway's has come into order by itself. $2 the kinds, $3 how. (Not: = 'infinity', which would read all open ones.)
UPDATE payment_findings f SET settled_at = statement_timestamp(), settled_by = 'reconciler', settled_how = $3::text
 WHERE f.gateway_id = $1::text AND f.kind = ANY ($2::text[]) AND NOT f.settled_at < 'infinity'
