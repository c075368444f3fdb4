-- What the gateway shows: roles, an event log and a key-value table.  May be run again.
SET client_min_messages = warning;
DO $$
DECLARE
	role text;
BEGIN
	FOREACH role IN ARRAY ARRAY['demo_app', 'demo_reader', 'demo_monitor'] LOOP
		IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
			EXECUTE format('CREATE ROLE %I LOGIN', role);
		END IF;
	END LOOP;
	GRANT pg_monitor TO demo_monitor;
	CREATE SCHEMA IF NOT EXISTS shop AUTHORIZATION demo_app;
	ALTER ROLE demo_app SET search_path = shop, public;
	ALTER ROLE demo_reader SET search_path = shop, public;
	GRANT USAGE ON SCHEMA shop TO demo_reader;
	SET LOCAL ROLE demo_app;
	SET LOCAL search_path = shop;
	IF to_regclass('shop.orders') IS NULL THEN
		PERFORM kyro.create_log('orders');
		PERFORM kyro.create_kv('prices', 'numeric', history => true);
		INSERT INTO prices (key, value) SELECT 1000 + 7 * g, round((50 + 30 * sin(g / 40.0))::numeric, 2) FROM generate_series(1, 2000) g;
		GRANT SELECT ON ALL TABLES IN SCHEMA shop TO demo_reader;
	END IF;
END $$;
