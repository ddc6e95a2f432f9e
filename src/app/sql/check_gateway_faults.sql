-- What was seen at both looks.
SELECT DISTINCT f.show_id, f.fault FROM gateway_faults f
 WHERE f.look = 2
   AND EXISTS (SELECT 1 FROM gateway_faults b WHERE b.look = 1 AND b.show_id IS NOT DISTINCT FROM f.show_id AND b.fault = f.fault)
 ORDER BY 1, 2
