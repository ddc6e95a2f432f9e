-- A page of the gateway's payment intents.
INSERT INTO gateway_intents (intent_id, created_at, status, amount_minor, received_minor, currency, show_id, booking_id, payment_id)
SELECT i.id, to_timestamp(i.created), i.status, i.amount, i.received, upper(i.currency), i.show, i.booking, i.attempt
  FROM json_to_recordset($1::json) AS i (id text, created bigint, status text, amount bigint, received bigint, currency text,
                                         show uuid, booking uuid, attempt uuid)
ON CONFLICT DO NOTHING
