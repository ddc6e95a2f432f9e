DELETE FROM deliveries WHERE event_seq = ?1 AND copies <= ?2
