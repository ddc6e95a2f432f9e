-- A payment for which there is no attempt here was given back at the gateway, because a person who restored a backup asked for it.
UPDATE payment_findings f SET settled_at = statement_timestamp(), settled_by = 'restore', settled_how = 'given back at the gateway'
 WHERE f.gateway_id = $1::text AND f.kind = 'orphan_payment' AND NOT f.settled_at < 'infinity'
