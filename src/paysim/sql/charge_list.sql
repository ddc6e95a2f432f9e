-- As intent_list; ?5: of this intent, NULL: of any. The last column as in charge_get.
SELECT seq, id, created_us, payment_intent, amount, payment_method, card, challenged, failure_code, decline_code,
	failure_message, coalesce((SELECT 1 + min(inquiry) FROM disputes d WHERE d.charge = charges.id), 0)
FROM charges WHERE seq < ?1 AND created_us >= ?2 AND created_us < ?3 AND (?5 IS NULL OR payment_intent = ?5)
ORDER BY seq DESC LIMIT ?4
