DELETE FROM later WHERE seq = ?1
