-- Models in and out, and where they came from.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS kyrodb;
CREATE SCHEMA models;
SET search_path = models, public;
\getenv srcdir PG_ABS_SRCDIR
\set file :srcdir '/lib/model_file.sql'
\set ECHO none
\i :file
\set ECHO all
RESET client_min_messages;
SET enable_seqscan = off;
SET enable_bitmapscan = off;

-- three stretches of keys, each of other distances: no line of 64 leaves fits well
CREATE TABLE e (k bigint);
INSERT INTO e SELECT sum(1 + (g * 7919 % 1000) * (2::numeric ^ (ARRAY[0,35,20])[1 + g / 40001])::bigint) OVER (ORDER BY g) FROM generate_series(1, 120000) g;
CREATE INDEX e_k ON e USING kyro_rmi (k);

-- the file is what the documentation says
SELECT substr(f, 1, 8) = 'KYRO_RMI'::bytea AS magic, get_le(f, 8, 4) AS version, get_le(f, 12, 4) = length(f) AS bytes, get_le(f, 16, 8) AS key_type,
	get_le(f, 24, 4) = m.leaves AS entries, get_le(f, 28, 4) = m.models AS lines, get_le(f, 32, 4) AS segment, get_le(f, 36, 4) = m.directory_eps_max AS eps,
	get_le(f, 56, 8) AS spare, xxh64(substr(f, 1, length(f) - 8)) = get_le(f, length(f) - 8, 8) AS hash
	FROM kyro.export_model('e_k') f, kyro.model('e_k') m;
SELECT bool_and(get_le(f, line_at(model), 8) = key_min AND get_le(f, line_at(model) + 8, 8) = key_max AND u64(get_le(f, line_at(model) + 16, 8)) = slope AND
	get_le(f, line_at(model) + 28, 4) = 64 * model AND get_le(f, line_at(model) + 32, 4) = entries AND get_le(f, line_at(model) + 36, 4) = eps AND
	get_le(f, line_at(model) + 40, 4) = shift AND get_le(f, 64 + 48 * get_le(f, 28, 4)::int + 8 * model, 8) = key_min) AS lines
	FROM kyro.export_model('e_k') f, kyro.model_leaves('e_k');
SELECT count(*) = (SELECT leaves FROM kyro.model('e_k')) AS leaves, min("position") AS first, max("position") = count(*) - 1 AS last,
	bool_and(key >= before) AS ascending FROM (SELECT *, lag(key, 1, key) OVER (ORDER BY "position") AS before FROM kyro.training_keys('e_k')) x;
-- and the history names the model by its hash
SELECT generation, role = current_user AS me, backend, reason, entries, h.leaves = m.leaves AS leaves, h.models = m.models AS models, eps_before,
	eps_after = directory_eps_max AS eps, seconds > 0 AS seconds, hash = lpad(to_hex(get_le(f, length(f) - 8, 8)), 16, '0') AS hash
	FROM kyro.model_history('e_k') h, kyro.model('e_k') m, kyro.export_model('e_k') f;

-- its own model changes nothing; what is not better is refused, and what is better is used
SELECT try_import('e_k', kyro.export_model('e_k'));
SELECT count(*) FROM kyro.model_history('e_k');
SELECT s, regexp_replace(try_import('e_k', train('e_k', s)), ':.*|\d+,', '') FROM unnest(ARRAY[64, 32, 16]) s;
CREATE TEMP TABLE better AS SELECT m.*, f FROM train('e_k', 8) f, kyro.import_model('e_k', f) m;
SELECT leaves_taken = ceil(s.leaves / 8.0) AS all_taken, leaves_kept, eps_max_after < eps_max_before AS eps_max, eps_p99_after <= eps_p99_before AS eps_p99, eps_p50_after <= eps_p50_before AS eps_p50,
	steps_after < steps_before AS steps, bytes_before < bytes_after AS more, bytes_after = s.bytes AS bytes, eps_max_after = s.directory_eps_max AS now
	FROM better, kyro.model('e_k') s;
SELECT generation, reason, eps_before > eps_after AS less, models > lag(models) OVER (ORDER BY generation) AS more FROM kyro.model_history('e_k') ORDER BY generation DESC;
SELECT * FROM kyro.verify('e_k', true);
SELECT count(*), count(DISTINCT k) FROM e WHERE k >= 0;
SELECT count(*) FROM (SELECT k FROM e TABLESAMPLE bernoulli (1) REPEATABLE (1)) s WHERE (SELECT count(*) FROM e WHERE e.k = s.k) <> 1;
SELECT try_import('e_k', kyro.export_model('e_k')) ~ '^taken 0' AS same;

-- line by line: of a file in which all lines but the worst are spoiled that one is taken, with another base
CREATE FUNCTION take_one() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	good bytea := kyro.export_model('e_k');
	lines int := get_le(good, 28, 4);
	worst int := (SELECT model FROM kyro.model_leaves('e_k') ORDER BY eps DESC, model LIMIT 1);
	spoiled bytea := good;
	r record;
BEGIN
	FOR i IN 0 .. lines - 1 LOOP
		IF i <> worst THEN
			spoiled := patch(spoiled, line_at(i) + 16, 0, 8);
		END IF;
	END LOOP;
	FOR base IN -3 .. 3 LOOP
		BEGIN
			SELECT * INTO r FROM kyro.import_model('e_k', close_file(patch(spoiled, line_at(worst) + 24, get_le(good, line_at(worst) + 24, 4) + base, 4)));
			RETURN format('taken %s, others kept: %s, steps not more: %s, others as they were: %s', r.leaves_taken, r.leaves_kept = lines - 1, r.steps_after <= r.steps_before,
				(SELECT bool_and(get_le(good, line_at(model) + 36, 4) = eps) FROM kyro.model_leaves('e_k') WHERE model <> worst));
		EXCEPTION WHEN invalid_parameter_value THEN
			NULL;
		END;
	END LOOP;
	RETURN 'none taken';
END $$;
SELECT take_one();
SELECT * FROM kyro.verify('e_k', true);
-- the model is of this directory, and goes with it
SELECT eps_max > (SELECT eps_max_after FROM better) AS as_trained_here FROM kyro.rebuild('e_k');
SELECT reason FROM kyro.model_history('e_k') ORDER BY generation DESC LIMIT 2;
SELECT * FROM kyro.verify('e_k', true);

-- what does not fit
CREATE TABLE o (i int, s smallint, d date, t timestamp, z timestamptz, k bigint);
INSERT INTO o SELECT g, g, date '2000-01-01' + g, timestamp '2000-01-01' + g * interval '1 hour', timestamptz '2000-01-01' + g * interval '1 hour', g FROM generate_series(1, 30000) g;
CREATE INDEX o_i ON o USING kyro_rmi (i);
CREATE INDEX o_s ON o USING kyro_rmi (s);
CREATE INDEX o_d ON o USING kyro_rmi (d);
CREATE INDEX o_t ON o USING kyro_rmi (t);
CREATE INDEX o_z ON o USING kyro_rmi (z);
CREATE INDEX o_k ON o USING kyro_rmi (k);
SELECT a, b, regexp_replace(try_import(a, kyro.export_model(b)), '\d{3,}', 'N', 'g') FROM unnest(ARRAY['o_i', 'o_s', 'o_d', 'o_t', 'o_z', 'o_k']) a, unnest(ARRAY['o_i', 'o_s', 'o_d', 'o_t', 'o_z', 'o_k']) b ORDER BY 1, 2;
CREATE TABLE near AS SELECT k + 5 AS k FROM e;
CREATE INDEX near_k ON near USING kyro_rmi (k);
SELECT regexp_replace(try_import('near_k', kyro.export_model('e_k')), '\d{3,}', 'N', 'g');
SELECT regexp_replace(try_import('o_k', kyro.export_model('e_k')), '\d\d+', 'N', 'g');
-- keys outside, and lines that end elsewhere
SELECT what, regexp_replace(try_import('e_k', close_file(f)), 'Leaf [2-9]|\d\d+', 'N', 'g') FROM train('e_k', 8) g, LATERAL (VALUES
	('line 0 begins below', patch(patch(patch(g, line_at(0), -5, 8), 40, -5, 8), 64 + 48 * get_le(g, 28, 4)::int, -5, 8)),
	('line 1 ends before', patch(g, line_at(1) + 8, get_le(g, line_at(1) + 8, 8) - 1, 8)),
	('last line ends above', patch(patch(g, line_at(get_le(g, 28, 4)::int - 1) + 8, 9223372036854775807, 8), 48, 9223372036854775807, 8)),
	('another number', patch(patch(g, 24, get_le(g, 24, 4) + 1, 4), line_at(get_le(g, 28, 4)::int - 1) + 32, get_le(g, line_at(get_le(g, 28, 4)::int - 1) + 32, 4) + 1, 4))) v(what, f);

-- hostile bytes, with a footer that is right
SELECT what, regexp_replace(try_import('e_k', close_file(f)), '\d{4,}', 'N', 'g') FROM train('e_k', 8) g, LATERAL (VALUES
	('magic', patch(g, 0, 0, 1)), ('version', patch(g, 8, 2, 4)), ('bytes', patch(g, 12, 4294967295, 4)), ('no bytes', patch(g, 12, 0, 4)),
	('no key type', patch(g, 16, 0, 8)), ('large key type', patch(g, 16, 4294967296, 8)), ('unknown key type', patch(g, 16, 77, 8)),
	('no entries', patch(g, 24, 0, 4)), ('many entries', patch(g, 24, 4294967295, 4)), ('no lines', patch(g, 28, 0, 4)), ('many lines', patch(g, 28, 4294967295, 4)),
	('no segment', patch(g, 32, 0, 4)), ('segment', patch(g, 32, 4294967295, 4)), ('largest error', patch(g, 36, 0, 4)), ('key range', patch(g, 40, 0, 8)),
	('spare', patch(g, 56, 1, 8)), ('shift', patch(g, line_at(2) + 40, 128, 4)), ('error', patch(g, line_at(2) + 36, 4294967295, 4)),
	('first', patch(g, line_at(2) + 28, 0, 4)), ('count', patch(g, line_at(2) + 32, 0, 4)), ('order', patch(g, line_at(2), -9223372036854775808, 8)),
	('longer', g || '\x00'::bytea), ('twice', g || g)) v(what, f);
SELECT what, try_import('e_k', f) FROM (VALUES ('nothing', ''::bytea), ('text', 'hello'), ('zeros', decode(repeat('00', 136), 'hex')), ('a megabyte', decode(repeat('00', 1048576), 'hex'))) v(what, f);
SELECT count(*) > 200 AS many, bool_and(try_import('e_k', substr(f, 1, n)) ~ '^22P03') AS invalid
	FROM train('e_k', 32) f, generate_series(0, length(f) - 1) n;
SELECT bool_and(try_import('e_k', set_byte(f, n, get_byte(f, n) # 16)) ~ '^22P03') AS invalid FROM train('e_k', 32) f, generate_series(0, length(f) - 1) n;
-- with a right footer some fit, and are no better or better
SELECT bool_and(try_import('e_k', close_file(set_byte(f, n, get_byte(f, n) # (1 << (n % 8))))) ~ '^(22P03|22023|taken)') AS known FROM train('e_k', 32) f, generate_series(0, length(f) - 9) n;
SELECT * FROM kyro.verify('e_k', true);

-- one leaf, none, extreme keys, duplicates over many leaves, NULLs, no logging
CREATE TABLE edge (one bigint, none bigint, far bigint, dup bigint, nul bigint);
INSERT INTO edge SELECT CASE WHEN g < 10 THEN g END, NULL, CASE g % 3 WHEN 0 THEN -9223372036854775808 + g WHEN 1 THEN 9223372036854775807 - g ELSE 0 END,
	CASE WHEN g % 100 = 0 THEN g ELSE 7 END, CASE WHEN g % 2 = 0 THEN (g * 7919::bigint) % 1000003 * 1000000007 END FROM generate_series(1, 30000) g ORDER BY hashint4(g);
CREATE INDEX edge_one ON edge USING kyro_rmi (one) WHERE one IS NOT NULL;
CREATE INDEX edge_none ON edge USING kyro_rmi (none) WHERE one < 0;
CREATE INDEX edge_far ON edge USING kyro_rmi (far);
CREATE INDEX edge_dup ON edge USING kyro_rmi (dup);
CREATE INDEX edge_nul ON edge USING kyro_rmi (nul);
CREATE UNLOGGED TABLE unl AS SELECT g::bigint * g AS k FROM generate_series(1, 50000) g;
CREATE INDEX unl_k ON unl USING kyro_rmi (k);
CREATE TEMP TABLE tmp AS SELECT g::bigint * g AS k FROM generate_series(1, 50000) g;
CREATE INDEX tmp_k ON tmp USING kyro_rmi (k);
SELECT i, try_import(i, kyro.export_model(i)) ~ '^taken 0, kept \d+$' AS same, bool_and(regexp_replace(try_import(i, train(i, s)), ':.*', '') ~ '^taken|no better') AS fits
	FROM unnest(ARRAY['edge_one', 'edge_none', 'edge_far', 'edge_dup', 'edge_nul', 'unl_k', 'tmp_k']) i, unnest(ARRAY[1, 3, 1000]) s GROUP BY i ORDER BY i;
SELECT i, v.* FROM unnest(ARRAY['edge_one', 'edge_none', 'edge_far', 'edge_dup', 'edge_nul', 'unl_k', 'tmp_k']) i, kyro.verify(i, true) v;
SELECT count(*) FROM edge WHERE far = 9223372036854775806;
SELECT count(*) FROM edge WHERE far <= -9223372036854775800;
SELECT count(*) FROM edge WHERE dup = 7;
SELECT count(*) FROM edge WHERE nul IS NULL;

-- leaves split since the file was made: the directory is the same, and goes on being so
CREATE TABLE grow AS SELECT k FROM e;
CREATE INDEX grow_k ON grow USING kyro_rmi (k);
CREATE TEMP TABLE old AS SELECT kyro.export_model('grow_k') AS same, train('grow_k', 8) AS short;
INSERT INTO grow SELECT k + 1 FROM e WHERE k % 3 = 0 AND k < 10000000 ORDER BY hashint8(k);
SELECT splits_since > 0 AS splits FROM kyro.model('grow_k');
SELECT try_import('grow_k', same) ~ '^taken 0' AS fits FROM old;
CREATE TEMP TABLE since AS SELECT splits_since AS n FROM kyro.model('grow_k');
SELECT try_import('grow_k', short) ~ '^taken [1-9]' AS fits FROM old;
SELECT splits_since = n AS carried_over, reason FROM kyro.model('grow_k'), since, kyro.model_history('grow_k') ORDER BY generation DESC LIMIT 1;
SELECT * FROM kyro.verify('grow_k', true);
SELECT leaves > 0 AS leaves FROM kyro.rebuild('grow_k');
SELECT regexp_replace(try_import('grow_k', same), '\d{2,}', 'N', 'g') FROM old WHERE same <> kyro.export_model('grow_k');

-- why there was a new model; the list ends somewhere
DELETE FROM grow WHERE k % 3 = 0;
VACUUM grow;
REINDEX INDEX grow_k;
INSERT INTO grow SELECT g * 1000003::bigint % 1000000007 FROM generate_series(1, 250000) g;
SELECT reason, entries > 0 AS entries, eps_before IS NULL AS first FROM kyro.model_history('grow_k') WHERE generation IN (1, 2) ORDER BY generation;
SELECT count(*) FROM generate_series(1, 70) g, LATERAL (SELECT g, (kyro.rebuild('edge_one')).leaves) r;
SELECT count(*), max(generation) - min(generation) AS steps, min(generation) > 1 AS bounded, count(DISTINCT hash) AS models, count(eps_before) AS eps FROM kyro.model_history('edge_one');
-- it is as large as before
SELECT pg_relation_size('edge_one') / 8192 <= 12 AS bounded;
SELECT * FROM kyro.verify('edge_one', true);
TRUNCATE edge;
SELECT generation, reason, entries, leaves FROM kyro.model_history('edge_dup');
-- of a role whose name is as long as it may be
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_kyro_trainer_with_a_name_of_just_sixty_three_characters;
RESET client_min_messages;
CREATE ROLE regress_kyro_trainer_with_a_name_of_just_sixty_three_characters;
GRANT CREATE, USAGE ON SCHEMA models TO regress_kyro_trainer_with_a_name_of_just_sixty_three_characters;
ALTER TABLE near OWNER TO regress_kyro_trainer_with_a_name_of_just_sixty_three_characters;
SET ROLE regress_kyro_trainer_with_a_name_of_just_sixty_three_characters;
SELECT leaves > 0 AS leaves FROM kyro.rebuild('near_k');
SELECT role, reason FROM kyro.model_history('near_k') LIMIT 1;
-- it may import, and neither export nor see keys
SELECT regexp_replace(try_import('near_k', 'x'), ':.*', '');
SELECT kyro.export_model('near_k');
SELECT * FROM kyro.training_keys('near_k');
SELECT * FROM kyro.explain('near_k', 1);
SELECT * FROM kyro.explain('near_k', '1');
SELECT matches FROM kyro.trace('near_k', '1');
SELECT regexp_replace(try_import('e_k', 'x'), ':.*', '');
SELECT * FROM kyro.model_history('e_k');
RESET ROLE;
BEGIN READ ONLY;
SELECT kyro.import_model('e_k', 'x');
ROLLBACK;

-- one look-up, of a value of the column's type or its text
SELECT matches FROM kyro.trace('o_i', 5);
SELECT matches FROM kyro.trace('o_i', 5::smallint);
SELECT matches FROM kyro.trace('o_i', 5::bigint);
SELECT matches FROM kyro.trace('o_i', '5');
SELECT matches FROM kyro.trace('o_i', 99999999999);
SELECT matches FROM kyro.trace('o_s', '77'::text);
SELECT matches FROM kyro.trace('o_d', '2000-01-06');
SELECT matches FROM kyro.trace('o_d', date '2000-01-06');
SELECT matches FROM kyro.trace('o_t', '2000-01-01 05:00');
SELECT matches FROM kyro.trace('o_t', timestamp '2000-01-01 05:00');
SELECT matches FROM kyro.trace('o_z', '2000-01-01 05:00'::varchar);
SELECT matches FROM kyro.trace('o_z', timestamptz '2000-01-01 05:00');
SELECT matches FROM kyro.trace('o_t', 'infinity');
SELECT matches FROM kyro.trace('o_k', -9223372036854775808);
SELECT matches FROM kyro.trace('o_k', '9223372036854775807');
PREPARE one AS SELECT matches FROM kyro.trace('o_d', $1);
EXECUTE one ('2000-01-06');
SELECT matches FROM kyro.trace('o_i', NULL);
CREATE DOMAIN small AS int CHECK (VALUE < 1000);
CREATE TABLE dom (k small);
INSERT INTO dom SELECT g FROM generate_series(1, 100) g;
CREATE INDEX dom_k ON dom USING kyro_rmi (k);
SELECT matches FROM kyro.trace('dom_k', 5);
SELECT matches FROM kyro.trace('dom_k', 5::small);
SELECT matches FROM kyro.trace('dom_k', '5');
SELECT matches FROM kyro.trace('dom_k', '5000');
CREATE INDEX dom_x ON dom USING kyro_rmi ((k + 1));
SELECT matches FROM kyro.trace('dom_x', '101');
-- not of another
SELECT matches FROM kyro.trace('o_t', 5);
SELECT matches FROM kyro.trace('o_d', timestamp '2000-01-06');
SELECT matches FROM kyro.trace('o_i', 5.0);
SELECT matches FROM kyro.trace('o_i', date '2000-01-06');
SELECT matches FROM kyro.trace('o_i', 'five');
SELECT matches FROM kyro.trace('o_s', '70000');
SELECT matches FROM kyro.trace('o_t', 'someday');
SELECT matches FROM kyro.explain('o_t', 5) matches;
-- in words
SELECT regexp_replace(regexp_replace(line, '\d+', 'N', 'g'), '(, as predicted|, N (before|after) the predicted one)', ', somewhere') FROM kyro.explain('o_t', '2000-01-01 05:00') line;
SELECT count(*) FROM kyro.explain('o_i', 70000) line WHERE line = 'No entry has this key.';
SELECT kyro.explain('o_i', 7) IS NOT NULL AS line LIMIT 1;
CREATE TABLE dup AS SELECT CASE WHEN g % 100 = 0 THEN g ELSE 7 END AS k FROM generate_series(1, 30000) g ORDER BY hashint4(g);
CREATE INDEX dup_k ON dup USING kyro_rmi (k);
SELECT line FROM kyro.explain('dup_k', 7) line WHERE line ~ 'have this key' AND line !~ ' on 1 leaf';
SET client_min_messages = error;
DROP SCHEMA models CASCADE;
DROP ROLE regress_kyro_trainer_with_a_name_of_just_sixty_three_characters;
