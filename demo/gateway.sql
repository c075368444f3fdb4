-- What the gateway and its page show: roles, an event log, a key-value table, and a table with a
-- btree and a kyro_rmi index on the same column.  May be run again.
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
	-- demo_reader looks into models: kyro.trace
	GRANT pg_monitor TO demo_monitor, demo_reader;
	CREATE SCHEMA IF NOT EXISTS shop AUTHORIZATION demo_app;
	ALTER ROLE demo_app SET search_path = shop, public;
	ALTER ROLE demo_reader SET search_path = shop, public;
	GRANT USAGE ON SCHEMA shop TO demo_reader;
	GRANT SELECT ON ALL TABLES IN SCHEMA public TO demo_reader;
	IF to_regclass('shop.orders') IS NULL THEN
		SET LOCAL ROLE demo_app;
		SET LOCAL search_path = shop;
		PERFORM kyro.create_log('orders');
		PERFORM kyro.create_kv('prices', 'numeric', history => true);
		INSERT INTO prices (key, value) SELECT 1000 + 7 * g, round((50 + 30 * sin(g / 40.0))::numeric, 2) FROM generate_series(1, 2000) g;
		-- ids that come at a changing pace, with gaps
		CREATE TABLE readings (id bigint, value real) USING kyro;
		INSERT INTO readings
		SELECT 1000000 + g * 8 + (g / 60000) * 400000 + (300000 * sin(g / 30000.0))::bigint + (hashint8(g) & 7), random() FROM generate_series(1, 300000) g ORDER BY 1;
		CREATE INDEX readings_id_kyro ON readings USING kyro_rmi (id);
		CREATE INDEX readings_id_btree ON readings USING btree (id);
		GRANT SELECT ON ALL TABLES IN SCHEMA shop TO demo_reader;
		-- vectors, where there is pgvector
		RESET ROLE;
		IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
			CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;
			SET LOCAL ROLE demo_app;
			SET LOCAL search_path = shop, public;
			CREATE TABLE colours (id bigint, rgb vector(3), payload jsonb) USING kyro;
			INSERT INTO colours
			SELECT r * 36 + g * 6 + b, format('[%s,%s,%s]', r / 5.0, g / 5.0, b / 5.0)::vector, jsonb_build_object('css', format('rgb(%s %s %s)', r * 51, g * 51, b * 51))
			FROM generate_series(0, 5) r, generate_series(0, 5) g, generate_series(0, 5) b;
			CREATE INDEX ON colours USING hnsw (rgb vector_l2_ops);
			GRANT SELECT ON colours TO demo_reader;
		END IF;
	END IF;
END $$;
