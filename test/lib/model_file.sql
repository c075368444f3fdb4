-- Model files made in SQL, from docs/model_format.md alone: numbers little endian, xxHash64,
-- and a trainer of lines through end points.  \i this file in a schema of one's own.

CREATE FUNCTION u64(b bigint) RETURNS numeric LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN b < 0 THEN b + 18446744073709551616::numeric ELSE b END $$;
CREATE FUNCTION s64(n numeric) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT (CASE WHEN m >= 9223372036854775808 THEN m - 18446744073709551616::numeric ELSE m END)::bigint
	FROM (SELECT mod(mod(n, 18446744073709551616::numeric) + 18446744073709551616::numeric, 18446744073709551616::numeric)) x(m) $$;
CREATE FUNCTION mul64(a bigint, b bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT s64(u64(a) * u64(b)) $$;
CREATE FUNCTION add64(a bigint, b bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT s64(a::numeric + b) $$;
CREATE FUNCTION shr64(a bigint, n int) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT (a >> n) & ((1::bigint << (64 - n)) - 1) $$;
CREATE FUNCTION rotl64(a bigint, n int) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT (a << n) | shr64(a, 64 - n) $$;

-- a number as so many bytes, and back
CREATE FUNCTION put_le(n numeric, bytes int) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT string_agg(set_byte('\x00'::bytea, 0, mod(div(mod(n + 2::numeric ^ 64, 2::numeric ^ 64), 256::numeric ^ i), 256)::int), '' ORDER BY i)
	FROM generate_series(0, bytes - 1) i $$;
CREATE FUNCTION get_le(b bytea, at int, bytes int) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT s64(sum(get_byte(b, at + i) * 256::numeric ^ i)) FROM generate_series(0, bytes - 1) i $$;

CREATE FUNCTION xxh64(b bytea) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	p1 CONSTANT bigint := -7046029288634856825;
	p2 CONSTANT bigint := -4417276706812531889;
	p3 CONSTANT bigint := 1609587929392839161;
	p4 CONSTANT bigint := -8796714831421723037;
	p5 CONSTANT bigint := 2870177450012600261;
	v bigint[] := ARRAY[add64(p1, p2), p2, 0, s64(-p1::numeric)];
	h bigint;
	at int := 0;
	n int := length(b);
BEGIN
	IF n >= 32 THEN
		WHILE at + 32 <= n LOOP
			FOR i IN 1 .. 4 LOOP
				v[i] := mul64(rotl64(add64(v[i], mul64(get_le(b, at + 8 * (i - 1), 8), p2)), 31), p1);
			END LOOP;
			at := at + 32;
		END LOOP;
		h := add64(add64(rotl64(v[1], 1), rotl64(v[2], 7)), add64(rotl64(v[3], 12), rotl64(v[4], 18)));
		FOR i IN 1 .. 4 LOOP
			h := add64(mul64(h # mul64(rotl64(mul64(v[i], p2), 31), p1), p1), p4);
		END LOOP;
	ELSE
		h := p5;
	END IF;
	h := add64(h, n);
	WHILE at + 8 <= n LOOP
		h := add64(mul64(rotl64(h # mul64(rotl64(mul64(get_le(b, at, 8), p2), 31), p1), 27), p1), p4);
		at := at + 8;
	END LOOP;
	IF at + 4 <= n THEN
		h := add64(mul64(rotl64(h # mul64(get_le(b, at, 4), p1), 23), p2), p3);
		at := at + 4;
	END IF;
	WHILE at < n LOOP
		h := mul64(rotl64(h # mul64(get_byte(b, at), p5), 11), p1);
		at := at + 1;
	END LOOP;
	h := mul64(h # shr64(h, 33), p2);
	h := mul64(h # shr64(h, 29), p3);
	RETURN h # shr64(h, 32);
END $$;

-- a file with a footer that is right
CREATE FUNCTION close_file(b bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT body || put_le(xxh64(body), 8) FROM (SELECT substr(b, 1, greatest(length(b) - 8, 0)) AS body OFFSET 0) x $$;

-- a file with other bytes at an offset
CREATE FUNCTION patch(b bytea, at int, value numeric, bytes int) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT overlay(b PLACING put_le(value, bytes) FROM at + 1 FOR bytes) $$;
CREATE FUNCTION line_at(line int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT 64 + 48 * line $$;

-- train lines of so many leaves each, through their end points, shifted by some positions
CREATE FUNCTION train(index regclass, segment int, shifted int DEFAULT 0) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
	keys bigint[] := (SELECT array_agg(key ORDER BY "position") FROM kyro.training_keys(index));
	n int := cardinality(keys);
	lines int := (n + segment - 1) / segment;
	key_type bigint := get_le(kyro.export_model(index), 16, 8);
	body bytea := '';
	splits bytea := '';
	first int;
	cnt int;
	span numeric;
	slope numeric;
	shift int;
BEGIN
	FOR i IN 0 .. lines - 1 LOOP
		first := i * segment;
		cnt := least(segment, n - first);
		span := keys[first + cnt]::numeric - keys[first + 1];
		slope := 0;
		shift := 0;
		IF span > 0 AND cnt > 1 THEN
			shift := 63;
			LOOP
				slope := div((cnt - 1) * 2::numeric ^ shift, span);
				EXIT WHEN slope < 2::numeric ^ 64;
				shift := shift - 1;
			END LOOP;
		END IF;
		body := body || put_le(keys[first + 1], 8) || put_le(keys[first + cnt], 8) || put_le(slope, 8) || put_le(first + shifted, 4) ||
			put_le(first, 4) || put_le(cnt, 4) || put_le(cnt - 1, 4) || put_le(shift, 4) || put_le(0, 4);
		splits := splits || put_le(keys[first + 1], 8);
	END LOOP;
	RETURN close_file('KYRO_RMI'::bytea || put_le(1, 4) || put_le(64 + 56 * lines + 8, 4) || put_le(key_type, 8) || put_le(n, 4) ||
		put_le(lines, 4) || put_le(segment, 4) || put_le(CASE WHEN lines = 1 THEN n ELSE segment END - 1, 4) || put_le(keys[1], 8) ||
		put_le(keys[n], 8) || put_le(0, 8) || body || splits || put_le(0, 8));
END $$;

-- what happens to a file
CREATE FUNCTION try_import(index regclass, model bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	r record;
BEGIN
	SELECT * INTO r FROM kyro.import_model(index, model);
	RETURN format('taken %s, kept %s', r.leaves_taken, r.leaves_kept);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN SQLSTATE || ' ' || SQLERRM || ': ' || detail;
END $$;
