-- As intent_list; ?5 and ?6: of this intent, of this charge, NULL: of any.
SELECT seq, id, created_us, charge, payment_intent, currency, amount, reason, inquiry, card
FROM disputes WHERE seq < ?1 AND created_us >= ?2 AND created_us < ?3 AND (?5 IS NULL OR payment_intent = ?5)
	AND (?6 IS NULL OR charge = ?6)
ORDER BY seq DESC LIMIT ?4
