--
-- What the tests of kyro tables share: everything is done to heap tables, too,
-- and must come to the same.  The test says where: \set schema store_name
--
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS kyrodb;
\set schema_h :schema _h
\set schema_k :schema _k
CREATE SCHEMA :"schema";
CREATE SCHEMA :"schema_h";
CREATE SCHEMA :"schema_k";
SET search_path = :"schema_k", :"schema", public;
\pset format unaligned
\pset tuples_only on

-- Runs a statement on heap tables, in the schema that ends in _h, and on kyro
-- tables of the same names, in the one that ends in _k.  Answers must be the
-- same; in the same order only where the statement asks for one.
CREATE FUNCTION :"schema".twin(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	path text := current_setting('search_path');
	side text;
	r record;
	lines text[];
	n bigint;
	answer text;
	heap_answer text;
BEGIN
	FOREACH side IN ARRAY ARRAY['h', 'k'] LOOP
		PERFORM set_config('search_path', regexp_replace(path, '_k\M', '_' || side), true),
			set_config('default_table_access_method', CASE side WHEN 'k' THEN 'kyro' ELSE 'heap' END, true);
		lines := '{}';
		BEGIN
			IF statement ~* '^\s*(select|table|values|with)\M|\mreturning\M' THEN
				IF statement ~* '\mreturning\M' THEN
					FOR r IN EXECUTE statement LOOP
						lines := lines || r::text;
					END LOOP;
				ELSE	-- at once, so that parallel workers may help
					EXECUTE format('SELECT coalesce(array_agg(r::text), ''{}'') FROM (%s) r', statement) INTO lines;
				END IF;
				IF statement !~* '\morder by\M' THEN
					lines := ARRAY(SELECT l FROM unnest(lines) l ORDER BY l COLLATE "C");
				END IF;
				answer := format('%s rows: %s', cardinality(lines), array_to_string(lines, ' '));
			ELSE
				EXECUTE statement;
				GET DIAGNOSTICS n = ROW_COUNT;
				answer := n || ' rows';
			END IF;
		EXCEPTION WHEN OTHERS THEN
			answer := SQLSTATE || ': ' || SQLERRM;
		END;
		heap_answer := coalesce(heap_answer, answer);
	END LOOP;
	PERFORM set_config('search_path', path, true), set_config('default_table_access_method', 'heap', true);
	IF answer <> heap_answer THEN
		RETURN format(E'DIFFERENT\nheap %s\nkyro %s', left(heap_answer, 1000), left(answer, 1000));
	END IF;
	RETURN CASE WHEN length(answer) > 250 THEN regexp_replace(answer, ':.*', '') ELSE answer END;
END $$;
-- Whether the two tables hold the same rows.
CREATE FUNCTION :"schema".same(rel text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	base text := regexp_replace(current_schema(), '_k$', '');
	answer text;
BEGIN
	EXECUTE format('WITH h AS (SELECT x::text AS r FROM %1$I.%3$I x), k AS (SELECT x::text AS r FROM %2$I.%3$I x),
		lost AS (TABLE h EXCEPT ALL TABLE k), extra AS (TABLE k EXCEPT ALL TABLE h)
		SELECT CASE WHEN EXISTS (TABLE lost) OR EXISTS (TABLE extra)
			THEN format(''DIFFERENT: %%s rows lost, as %%s; %%s rows too many, as %%s'', (SELECT count(*) FROM lost), (SELECT left(min(r), 200) FROM lost),
				(SELECT count(*) FROM extra), (SELECT left(min(r), 200) FROM extra))
			ELSE format(''same %%s rows'', (SELECT count(*) FROM k)) END', base || '_h', base || '_k', rel) INTO answer;
	RETURN answer;
END $$;

CREATE FUNCTION :"schema".seal(rel text, max_rows bigint DEFAULT NULL) RETURNS bigint LANGUAGE sql AS 'SELECT rows FROM kyro.snapshot(rel::regclass, max_rows)';
