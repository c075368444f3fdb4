-- For run.sh and store.sh: the clock of both.
CREATE EXTENSION kyrodb;
CREATE SCHEMA bench;

-- Time in ms that this backend has had a processor, or, where the kernel does
-- not say, the time of day.  The sleep makes it bring its figure up to date.
CREATE FUNCTION bench.cpu() RETURNS float8
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_sleep(0.001);
	RETURN coalesce(split_part(pg_read_file('/proc/self/schedstat', 0, 100, true), ' ', 1)::float8 / 1e6,
					extract(epoch FROM clock_timestamp()) * 1000);
END $$;
