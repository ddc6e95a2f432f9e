-- A page of the gateway's refunds.
INSERT INTO gateway_refunds (refund_id, intent_id, status, amount_minor, currency)
SELECT r.id, r.intent, r.status, r.amount, upper(r.currency)
  FROM json_to_recordset($1::json) AS r (id text, intent text, status text, amount bigint, currency text)
ON CONFLICT DO NOTHING
