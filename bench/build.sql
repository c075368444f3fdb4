-- Time and size of CREATE INDEX.
\ir fill.sql
DO $$
DECLARE
	v text;
	since timestamptz;
BEGIN
	FOR round IN 1 .. (SELECT rounds FROM bench.param) LOOP
		FOREACH v IN ARRAY bench.variants() LOOP
			CONTINUE WHEN round > 1 AND v NOT IN ('btree', 'kyro_rmi');
			PERFORM bench.note('CREATE INDEX', 's', v, bench.create_index(v));
			COMMIT;
			IF round = 1 THEN
				PERFORM bench.note_sizes('size after build');
			END IF;
			PERFORM bench.drop_indexes();
			COMMIT;
		END LOOP;
	END LOOP;

	-- workers' processor time is not ours: by the clock
	SET max_parallel_maintenance_workers = 2;
	ALTER TABLE bench.t SET (parallel_workers = 2);
	FOR round IN 1 .. (SELECT rounds FROM bench.param) LOOP
		FOREACH v IN ARRAY ARRAY['btree', 'kyro_rmi'] LOOP
			since := clock_timestamp();
			PERFORM bench.create_index(v);
			COMMIT;
			PERFORM bench.note('CREATE INDEX, 2 workers, elapsed', 's', v,
							   extract(epoch FROM clock_timestamp() - since)::float8);
			PERFORM bench.drop_indexes();
			COMMIT;
		END LOOP;
	END LOOP;
	ALTER TABLE bench.t RESET (parallel_workers);
END $$;
