-- All rows into an empty indexed table: in key order, and in random order.
-- The time without an index is taken off; the WAL, too.
CREATE UNLOGGED TABLE bench.stream (ord text, k bigint, v bigint);
INSERT INTO bench.stream SELECT 'ascending', k, v FROM bench.keys ORDER BY k;
INSERT INTO bench.stream SELECT 'random', k, v FROM bench.keys ORDER BY hashint8extended(v, 7);
VACUUM ANALYZE bench.stream;

DO $$
DECLARE
	o text;
	a text;
	since timestamptz;
	lsn pg_lsn;
	s float8;
	wal float8;
	s0 float8;
	wal0 float8;
	n float8 := (SELECT count(*) FROM bench.keys);
BEGIN
	FOREACH o IN ARRAY ARRAY['ascending', 'random'] LOOP
		FOREACH a IN ARRAY ARRAY['none', 'btree', 'kyro_rmi'] LOOP
			DROP INDEX IF EXISTS bench.t_btree, bench.t_kyro_rmi;
			TRUNCATE bench.t;
			IF a <> 'none' THEN
				PERFORM bench.create_index(a);
			END IF;
			COMMIT;
			since := clock_timestamp();
			lsn := pg_current_wal_insert_lsn();
			INSERT INTO bench.t SELECT k, v FROM bench.stream WHERE ord = o;
			COMMIT;
			s := bench.seconds(since);
			wal := pg_current_wal_insert_lsn() - lsn;
			IF a = 'none' THEN
				s0 := s;
				wal0 := wal;
			ELSE
				PERFORM bench.note(o || ' insert', 'us', a, (s - s0) * 1e6 / n);
				PERFORM bench.note(o || ' insert, WAL', 'bytes/row', a, (wal - wal0) / n);
				PERFORM bench.note('size after ' || o || ' inserts', 'bytes/row', a,
								   pg_relation_size(format('bench.t_%s', a)::regclass) / n);
			END IF;
			COMMIT;
		END LOOP;
	END LOOP;
END $$;

DROP TABLE bench.stream;
