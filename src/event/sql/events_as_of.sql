-- When a list begins: PostgreSQL's time now. Reads only.
SELECT statement_timestamp() AS as_of
