-- As intent_list; ?5: of this intent, NULL: of any.
SELECT seq, id, created_us, payment_intent, amount, payment_method, card, challenged, failure_code, decline_code,
	failure_message
FROM charges WHERE seq < ?1 AND created_us >= ?2 AND created_us < ?3 AND (?5 IS NULL OR payment_intent = ?5)
ORDER BY seq DESC LIMIT ?4
