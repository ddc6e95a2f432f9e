-- A backup is brought back: consumers of events read the log on from where they stood then, and not Kafka, where their groups stand as
-- they did before the restore. Locks the rows of consumers.
UPDATE consumers SET source = 'log', generation = generation + 1 WHERE source <> 'log'
