-- The newest migration the database has.
SELECT max(version)::bigint FROM schema_migrations
