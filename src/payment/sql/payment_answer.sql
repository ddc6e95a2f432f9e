-- What the gateway answered to a call, without anything about a person. A 5xx may be followed by a decision, not the reverse.
UPDATE payment_calls c
   SET answered_at = statement_timestamp(), http_status = $5::int, gateway_request_id = $6::text, answer = nullif($7::text, '')::json
 WHERE c.show_id = $1::uuid AND c.payment_id = $2::uuid AND c.step = $3::text AND c.call_no = $4::int
   AND (c.http_status IS NULL OR c.http_status >= 500)
