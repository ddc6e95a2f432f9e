-- A process that ends in order hands its duties on at once.
UPDATE leases SET until = statement_timestamp() WHERE holder = $1::text AND until > statement_timestamp()
