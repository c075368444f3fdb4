-- Time and size of CREATE INDEX.
\ir fill.sql
DO $$
DECLARE
	am text;
	s float8;
BEGIN
	FOR round IN 1 .. (SELECT rounds FROM bench.param) LOOP
		FOREACH am IN ARRAY ARRAY['btree', 'kyro_rmi'] LOOP
			EXECUTE format('DROP INDEX IF EXISTS bench.t_%s', am);
			COMMIT;
			s := bench.create_index(am);
			COMMIT;
			PERFORM bench.note('CREATE INDEX', 's', am, s);
			COMMIT;
		END LOOP;
	END LOOP;
END $$;
SELECT bench.note_sizes('size after build') \g /dev/null
