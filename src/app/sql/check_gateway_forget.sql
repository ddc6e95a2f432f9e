-- Before the second look at the gateway's ledger.
WITH i AS (DELETE FROM gateway_intents)
DELETE FROM gateway_refunds
