-- The call of a refund is over: another one of this payment may begin. Only by the one who held it until $3: whoever came after
-- the end of its lease keeps what is theirs. Locks the payment's row, before the refund's.
UPDATE payments p SET ask_after = statement_timestamp()
 WHERE p.show_id = $1::uuid AND p.payment_id = $2::uuid AND p.ask_after = $3::timestamptz
