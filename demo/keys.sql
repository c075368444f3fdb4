-- A primary key as applications have it, with foreign keys that refer to it and upserts
-- that go by it: what the exchange of its index is shown on.

ALTER TABLE events ADD PRIMARY KEY (id);
CREATE TABLE alarms (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	event bigint NOT NULL REFERENCES events ON DELETE CASCADE,
	level int NOT NULL);
CREATE SEQUENCE arriving;
SELECT setval('arriving', :rows) \g /dev/null

CREATE VIEW demo.keys AS
	SELECT c.relname AS index, a.amname AS method,
		   pg_size_pretty(pg_relation_size(c.oid)) AS size,
		   (SELECT count(*) FROM pg_constraint f WHERE f.conindid = c.oid AND f.contype = 'f') AS foreign_keys
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
	WHERE i.indisprimary AND i.indrelid IN ('events'::regclass, 'alarms'::regclass)
	ORDER BY 1 DESC;
