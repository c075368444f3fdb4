-- All rows into an empty indexed table: in key order; in key order, but one in
-- twenty later by up to 1 % of all; and in random order.
DROP TABLE IF EXISTS bench.stream;
CREATE UNLOGGED TABLE bench.stream (k bigint, v bigint);

DO $$
DECLARE
	o text;
	v text;
	n float8 := (SELECT p.n FROM bench.param p);
BEGIN
	FOREACH o IN ARRAY ARRAY['ascending', 'late', 'random'] LOOP
		TRUNCATE bench.stream;
		EXECUTE 'INSERT INTO bench.stream SELECT k, v FROM (SELECT *, row_number() OVER (ORDER BY k) AS i FROM bench.keys) s ORDER BY ' ||
			CASE o
				WHEN 'ascending' THEN 'i'
				WHEN 'late' THEN format('CASE abs(hashint8(v)) %% 20 WHEN 0 THEN i + abs(hashint8extended(v, 3) %% %s) ELSE i END',
										greatest(1, n / 100)::bigint)
				WHEN 'random' THEN 'hashint8extended(v, 7)'
			END;
		COMMIT;
		FOR round IN 1 .. (SELECT rounds FROM bench.param) LOOP
			FOREACH v IN ARRAY ARRAY['none', 'btree', 'kyro_rmi', 'kyro_generic'] LOOP
				PERFORM bench.drop_indexes();
				TRUNCATE bench.t;
				PERFORM bench.create_index(v);
				COMMIT;
				CALL bench.write(o || ' insert', v, 'INSERT INTO bench.t SELECT k, v FROM bench.stream', n);
				IF round = 1 THEN
					PERFORM bench.note_sizes('size after ' || o || ' inserts');
				END IF;
				COMMIT;
			END LOOP;
		END LOOP;
	END LOOP;
END $$;

DROP TABLE bench.stream;
SELECT bench.drop_indexes() \g /dev/null
