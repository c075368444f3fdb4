-- The names that people's scripts rely on: functions, views, columns, who may
-- call what, and a comment on each.
BEGIN;
SELECT no_plan();

SELECT has_extension('kyrodb');
SELECT has_schema('kyro');

-- functions: arguments, results, attributes
CREATE TEMP TABLE contract (name name, args text[], result text, outs text[], volatility text, strict boolean);
INSERT INTO contract VALUES
	('rebuild', '{regclass}', 'record', '{leaves,pages_before,pages_after,eps_max,duration}', 'volatile', true),
	('warmup', '{regclass}', 'bigint', NULL, 'volatile', true),
	('snapshot', '{regclass,bigint}', 'record', '{run,rows,pages,bytes,duration}', 'volatile', false),
	('set_policy', '{regclass,interval,bigint,bigint,bigint,bigint,boolean}', 'void', NULL, 'volatile', false),
	('drop_policy', '{regclass}', 'boolean', NULL, 'volatile', true),
	('verify', '{regclass,boolean}', 'setof record', '{block,problem}', 'volatile', true),
	('model', '{regclass}', 'record', '{format,router,leaves,models,directory_eps_p50,directory_eps_p99,directory_eps_max,leaf_eps_p50,leaf_eps_p99,leaf_eps_max,bytes,trained_at,splits_since}', 'volatile', true),
	('model_leaves', '{regclass}', 'setof record', '{model,key_min,key_max,slope,shift,base,eps,entries}', 'volatile', true),
	('import_model', '{regclass,bytea}', 'record', '{leaves_taken,leaves_kept,eps_p50_before,eps_p99_before,eps_max_before,eps_p50_after,eps_p99_after,eps_max_after,steps_before,steps_after,bytes_before,bytes_after}', 'volatile', true),
	('export_model', '{regclass}', 'bytea', NULL, 'volatile', true),
	('training_keys', '{regclass}', 'setof record', '{position,key}', 'volatile', true),
	('model_history', '{regclass}', 'setof record', '{generation,trained_at,role,backend,reason,entries,leaves,models,eps_before,eps_after,seconds,hash}', 'volatile', true),
	('explain', '{regclass,anyelement}', 'setof text', NULL, 'volatile', true),
	('explain', '{regclass,text}', 'setof text', NULL, 'volatile', true),
	('trace', '{regclass,anyelement}', 'record', '{source,model,predicted_position,window_low,window_high,true_position,leaf,pages_walked,block,predicted_slot,true_slot,slot_eps,probes,run_entries,matches}', 'volatile', true),
	('trace', '{regclass,text}', 'record', '{source,model,predicted_position,window_low,window_high,true_position,leaf,pages_walked,block,predicted_slot,true_slot,slot_eps,probes,run_entries,matches}', 'volatile', true);
SELECT has_function('kyro', name, args) FROM contract;
SELECT function_returns('kyro', name, args, result) FROM contract;
SELECT function_lang_is('kyro', name, args, 'c') FROM contract;
SELECT volatility_is('kyro', name, args, volatility) FROM contract;
SELECT is_strict('kyro', name, args) FROM contract WHERE strict;
SELECT isnt_definer('kyro', name, args) FROM contract;
SELECT is((SELECT array_agg(a COLLATE "default" ORDER BY o) FROM unnest(p.proargnames, p.proargmodes) WITH ORDINALITY u(a, m, o) WHERE m IN ('o', 't')),
		c.outs, 'columns of kyro.' || c.name)
	FROM contract c JOIN pg_proc p ON p.oid = format('kyro.%I(%s)', c.name, array_to_string(c.args, ','))::regprocedure WHERE c.outs IS NOT NULL;
SELECT is((SELECT DISTINCT proargnames[1] COLLATE "default" FROM pg_proc WHERE proname = name::name AND pronamespace = 'kyro'::regnamespace), arg, 'argument of kyro.' || name)
	FROM (VALUES ('rebuild', 'index'), ('warmup', 'rel'), ('snapshot', 'tbl'), ('set_policy', 'tbl'), ('drop_policy', 'tbl'), ('verify', 'rel'), ('model', 'index'), ('model_leaves', 'index'), ('trace', 'index'), ('explain', 'index'), ('export_model', 'index'), ('import_model', 'index'), ('training_keys', 'index'), ('model_history', 'index')) v(name, arg);
SELECT is((SELECT array_agg(a COLLATE "default" ORDER BY o) FROM pg_proc, unnest(proargnames) WITH ORDINALITY u(a, o) WHERE proname = 'health' AND pronamespace = 'kyro'::regnamespace),
	'{severity,subject,problem,command}', 'columns of kyro.health');
SELECT is((SELECT array_agg(a COLLATE "default" ORDER BY o) FROM pg_proc, unnest(proargnames) WITH ORDINALITY u(a, o) WHERE proname = 'advise' AND pronamespace = 'kyro'::regnamespace),
	'{schema,index,table,kind,size,predicted_size,predicted_us,verdict,reason,ddl}', 'kyro.advise(schema) and its columns');
SELECT is((SELECT pg_get_function_arg_default('kyro.advise'::regproc, 1)), 'NULL::name', 'all schemas unless told otherwise');
SELECT is((SELECT proargnames[2] COLLATE "default" FROM pg_proc WHERE proname = 'verify' AND pronamespace = 'kyro'::regnamespace), 'deep', 'verify(..., deep => ...)');
SELECT is((SELECT pg_get_function_arg_default('kyro.verify'::regproc, 2)), 'false', 'deep is off unless asked for');
SELECT is((SELECT proargnames[2] COLLATE "default" FROM pg_proc WHERE proname = 'snapshot' AND pronamespace = 'kyro'::regnamespace), 'max_rows', 'snapshot(..., max_rows => ...)');
SELECT is((SELECT concat_ws(' ', prokind, pg_get_function_arguments(oid)) FROM pg_proc WHERE proname = 'seal' AND pronamespace = 'kyro'::regnamespace),
	'p IN tbl regclass, IN batch bigint DEFAULT 20000, IN older_than interval DEFAULT NULL::interval', 'CALL kyro.seal(tbl, batch => ..., older_than => ...)');
SELECT is((SELECT concat_ws(' ', prokind, pg_get_function_arguments(oid)) FROM pg_proc WHERE proname = 'compact' AND pronamespace = 'kyro'::regnamespace),
	'p IN tbl regclass, IN batch bigint DEFAULT 50000', 'CALL kyro.compact(tbl, batch => ...)');
SELECT is((SELECT DISTINCT proargnames[2] COLLATE "default" FROM pg_proc WHERE proname = name::name AND pronamespace = 'kyro'::regnamespace), arg, name || '(..., ' || arg || ' => ...)')
	FROM (VALUES ('trace', 'key'), ('explain', 'value'), ('import_model', 'model')) v(name, arg);

-- event logs
SELECT is(pg_get_function_arguments(f::regprocedure), a, 'arguments of ' || f) FROM (VALUES
	('kyro.create_log(text, regtype, text, text)', $$name text, payload_type regtype DEFAULT 'jsonb'::regtype, partition_by text DEFAULT NULL::text, every text DEFAULT NULL::text$$),
	('kyro.append(text, jsonb, bigint, text, uuid)', 'log text, payload jsonb, key bigint DEFAULT NULL::bigint, kind text DEFAULT NULL::text, request_id uuid DEFAULT NULL::uuid'),
	('kyro.append_bytes(text, bytea, bigint, text, uuid)', 'log text, payload bytea, key bigint DEFAULT NULL::bigint, kind text DEFAULT NULL::text, request_id uuid DEFAULT NULL::uuid'),
	('kyro.append_batch(text, jsonb[], bigint[], text[], uuid[])', 'log text, payloads jsonb[], keys bigint[] DEFAULT NULL::bigint[], kinds text[] DEFAULT NULL::text[], request_ids uuid[] DEFAULT NULL::uuid[]'),
	('kyro.subscribe(text, bigint, bigint)', 'log text, "from" bigint DEFAULT 1, "limit" bigint DEFAULT NULL::bigint'),
	('kyro.consume(text, text, bigint, interval)', $$log text, consumer text, "limit" bigint DEFAULT 100, lease_for interval DEFAULT '00:01:00'::interval$$),
	('kyro.ack(text, text, bigint, bigint)', 'log text, consumer text, lease bigint, "offset" bigint DEFAULT NULL::bigint'),
	('kyro.renew(text, text, bigint, interval)', $$log text, consumer text, lease bigint, lease_for interval DEFAULT '00:01:00'::interval$$),
	('kyro.seek(text, text, bigint)', 'log text, consumer text, "offset" bigint'),
	('kyro.channel(text)', 'log text'),
	('kyro.trim(text, bigint)', 'log text, before bigint, OUT partitions bigint, OUT events bigint'),
	('kyro.trim(text, timestamptz)', 'log text, before timestamp with time zone, OUT partitions bigint, OUT events bigint'),
	('kyro.compact_log(text, bigint)', 'log text, before bigint DEFAULT NULL::bigint'),
	('kyro.extend_log(text, integer, text)', 'log text, ahead integer DEFAULT 4, every text DEFAULT NULL::text'),
	('kyro.last_offset(text)', 'log text'),
	('kyro.stable_offset(text)', 'log text')) v(f, a);
SELECT is(pg_get_function_result(f::regprocedure), r, 'result of ' || f) FROM (VALUES
	('kyro.create_log(text, regtype, text, text)', 'regclass'),
	('kyro.append(text, jsonb, bigint, text, uuid)', 'bigint'),
	('kyro.append_batch(text, jsonb[], bigint[], text[], uuid[])', 'bigint[]'),
	('kyro.replay(text, bigint, bigint, bigint)', 'TABLE("offset" bigint, at timestamp with time zone, key bigint, kind text, payload jsonb, request_id uuid)'),
	('kyro.replay_bytes(text, bigint, bigint, bigint)', 'TABLE("offset" bigint, at timestamp with time zone, key bigint, kind text, payload bytea, request_id uuid)'),
	('kyro.subscribe(text, bigint, bigint)', 'TABLE("offset" bigint, at timestamp with time zone, key bigint, kind text, payload jsonb, request_id uuid)'),
	('kyro.consume(text, text, bigint, interval)', 'TABLE(lease bigint, "offset" bigint, at timestamp with time zone, key bigint, kind text, payload jsonb, request_id uuid)'),
	('kyro.last_offset(text)', 'bigint'),
	('kyro.stable_offset(text)', 'bigint')) v(f, r);
SELECT is((SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc p
	WHERE p.pronamespace = 'kyro'::regnamespace AND p.proname IN ('create_log', 'make_log', 'drop_log', 'append', 'append_bytes', 'append_batch', 'replay', 'replay_bytes', 'last_offset', 'stable_offset', 'next_offset', 'subscribe', 'unsubscribe', 'channel', 'consume', 'ack', 'renew', 'seek', 'trim', 'compact_log', 'extend_log', 'create_kv', 'put', 'get', 'get_many', 'scan', 'delete', 'exists', 'drop_kv')
		AND (p.prosecdef OR NOT has_function_privilege('public', p.oid, 'EXECUTE'))), NULL, 'functions of event logs run with the rights of who calls them, and anybody may');
SELECT lives_ok($$SELECT kyro.create_log('contract_log')$$, 'kyro.create_log');
SELECT columns_are('public', 'contract_log', ARRAY['offset', 'at', 'key', 'kind', 'payload', 'request_id', 'horizon']);
SELECT has_pk('public', 'contract_log', 'an event log has a primary key where the library is preloaded');

-- key-value tables
SELECT is(pg_get_function_arguments(f::regprocedure) || ' -> ' || pg_get_function_result(f::regprocedure), a, f) FROM (VALUES
	('kyro.create_kv(text, text, boolean)', $$name text, value_type text DEFAULT 'text'::text, history boolean DEFAULT false -> regclass$$),
	('kyro.put(text, bigint, text, bigint)', 'kv text, key bigint, value text, if_offset bigint DEFAULT NULL::bigint -> bigint'),
	('kyro.get(text, bigint)', 'kv text, key bigint -> text'),
	('kyro.get(text, bigint, bigint)', 'kv text, key bigint, as_of bigint -> text'),
	('kyro.get(text, bigint, timestamptz)', 'kv text, key bigint, as_of timestamp with time zone -> text'),
	('kyro.get_many(text, bigint[])', 'kv text, keys bigint[] -> TABLE(key bigint, value text, changed_at bigint)'),
	('kyro.scan(text, bigint, bigint, bigint)', 'kv text, "from" bigint DEFAULT NULL::bigint, "to" bigint DEFAULT NULL::bigint, "limit" bigint DEFAULT NULL::bigint -> TABLE(key bigint, value text, changed_at bigint)'),
	('kyro.delete(text, bigint, bigint)', 'kv text, key bigint, if_offset bigint DEFAULT NULL::bigint -> boolean'),
	('kyro.exists(text, bigint)', 'kv text, key bigint -> boolean')) v(f, a);
SELECT lives_ok($$SELECT kyro.create_kv('contract_kv')$$, 'kyro.create_kv');
INSERT INTO contract_kv SELECT g * 3, 'v' || g FROM generate_series(1, 20000) g;
ANALYZE contract_kv;
SELECT is((SELECT count(*) FROM kyro.get_many('contract_kv', (SELECT array_agg(g * 30) FROM generate_series(1, 1000) g))), 1000::bigint, 'a batch of 1,000 keys');
SELECT is(pg_stat_get_xact_numscans('contract_kv_pkey'::regclass), 1::bigint, 'is one pass over the index');

-- time travel
SELECT is(pg_get_function_arguments(f::regprocedure) || ' -> ' || pg_get_function_result(f::regprocedure), a, f) FROM (VALUES
	('kyro.create_epoch(text)', 'name text -> void'),
	('kyro.drop_epoch(text)', 'name text -> void'),
	('kyro.keep_history(regclass, interval)', 'tbl regclass, "for" interval -> regclass'),
	('kyro.drop_history(regclass)', 'tbl regclass -> boolean'),
	('kyro.prune_history(regclass)', 'tbl regclass -> bigint'),
	('kyro.as_of(anyelement, text)', 'tbl anyelement, epoch text -> SETOF anyelement'),
	('kyro.as_of(anyelement, timestamptz)', 'tbl anyelement, moment timestamp with time zone -> SETOF anyelement'),
	('kyro.changes(anyelement)', 'tbl anyelement, OUT "offset" bigint, OUT at timestamp with time zone, OUT by text, OUT login text, OUT kind text, OUT old anyelement, OUT new anyelement, OUT xid xid8 -> SETOF record'),
	('kyro.restore_to(regclass, text, boolean)', 'tbl regclass, epoch text, dry_run boolean DEFAULT true, OUT inserted bigint, OUT updated bigint, OUT deleted bigint -> record'),
	('kyro.restore_to(regclass, timestamptz, boolean)', 'tbl regclass, moment timestamp with time zone, dry_run boolean DEFAULT true, OUT inserted bigint, OUT updated bigint, OUT deleted bigint -> record')) v(f, a);
SELECT columns_are('kyro', 'epochs', ARRAY['name', 'made_at', 'made_by', 'era', 'snapshot']);
SELECT is((SELECT string_agg(p.proname, ', ') FROM pg_proc p WHERE p.pronamespace = 'kyro'::regnamespace AND p.prosecdef AND p.proname NOT IN ('on_drop', 'on_history_ddl')), NULL,
	'nothing but event triggers runs with the rights of the extension''s owner');
SELECT is((SELECT string_agg(p.proname, ', ') FROM pg_proc p WHERE p.pronamespace = 'kyro'::regnamespace
	AND (p.proname LIKE '%\_as\_owner' OR p.proname IN ('current_era', 'cut_history', 'refit_history', 'on_history_ddl', 'sees_histories')) AND has_function_privilege('public', p.oid, 'EXECUTE')), NULL,
	'what writes the tables of histories is nobody''s');
SELECT is((SELECT string_agg(p.proname, ', ') FROM pg_proc p WHERE p.pronamespace = 'kyro'::regnamespace
	AND p.proname IN ('create_epoch', 'drop_epoch', 'keep_history', 'drop_history', 'prune_history', 'as_of', 'changes', 'restore_to') AND NOT has_function_privilege('public', p.oid, 'EXECUTE')), NULL,
	'anybody may call the functions of time travel');
SELECT is((SELECT string_agg(t, ', ') FROM unnest(ARRAY['kyro.epochs', 'kyro.histories', 'kyro.era']) t WHERE has_table_privilege('public', t, 'INSERT, UPDATE, DELETE, TRUNCATE')
	OR NOT has_table_privilege('public', t, 'SELECT')), NULL, 'its tables can be read by all and written by none');

-- views
SELECT has_view('kyro', v, 'view kyro.' || v) FROM unnest(ARRAY['stat_indexes', 'stat_tables', 'stat_runs', 'stat_progress_verify', 'stat_progress_seal', 'stat_worker', 'stat_policies', 'build_info']) v;
SELECT columns_are('kyro', 'stat_tables', ARRAY['schemaname', 'relname', 'relid', 'state', 'size', 'log_rows', 'log_bytes', 'runs', 'sealed_bytes', 'sealed_rows', 'live_rows', 'touched_rows',
	'last_seal', 'mmap_reads', 'buffer_reads', 'verified_pages', 'ledger_copies', 'seals', 'rows_sealed', 'seal_seconds', 'seal_wal_bytes', 'failed_seals',
	'last_error_at', 'last_error', 'counted_since']);
SELECT columns_are('kyro', 'stat_runs', ARRAY['schemaname', 'relname', 'relid', 'run', 'state', 'rows', 'live_rows', 'touched_rows', 'pages', 'bytes',
	'row_bytes', 'sealed_at', 'duration']);
SELECT columns_are('kyro', 'stat_indexes', ARRAY['schemaname', 'relname', 'indexrelname', 'relid', 'indexrelid', 'idx_scan', 'idx_tup_read',
	'idx_tup_fetch', 'idx_blks_read', 'idx_blks_hit', 'state', 'size', 'carrier', 'leaves', 'directory_pages', 'model_pages', 'splits_since', 'splits',
	'rebuilds', 'tuples', 'trained_at', 'eps_max', 'eps_p50', 'eps_p99', 'directory_bytes', 'model_bytes', 'shared_directory_bytes', 'lookups', 'compared', 'compared_sum', 'found_at_prediction',
	'found_beside', 'landings_off', 'pages_walked', 'without_model', 'landings_off_since', 'searches_since', 'inserts_append', 'inserts_run', 'inserts_merge', 'inserts_split', 'inserts_bulk',
	'dead_removed', 'vacuum_removed', 'trained_build', 'trained_rebuild', 'trained_autopilot', 'trained_import', 'trained_vacuum', 'trained_insert', 'training_seconds', 'trained_leaves',
	'samples', 'us_p50', 'us_p99', 'us_p999', 'rebuild_samples', 'rebuild_us_p50', 'rebuild_us_p99', 'rebuild_us_p999',
	'counted_since']);
SELECT columns_are('kyro', 'stat_progress_verify', ARRAY['pid', 'datid', 'datname', 'relid', 'indexrelid', 'phase', 'unit', 'total', 'done']);
SELECT columns_are('kyro', 'stat_progress_seal', ARRAY['pid', 'datid', 'datname', 'relid', 'command', 'phase', 'blocks_total', 'blocks_done', 'rows_done', 'batches_done']);
SELECT columns_are('kyro', 'stat_worker', ARRAY['database', 'pid', 'relid', 'relation', 'action', 'why', 'started', 'finished', 'result', 'error', 'failures', 'next']);
SELECT columns_are('kyro', 'stat_policies', ARRAY['schemaname', 'relname', 'relid', 'policy_of', 'seal_after', 'seal_rows', 'seal_bytes', 'min_rows', 'batch', 'state', 'log_rows', 'log_bytes', 'last_seal', 'due', 'due_at', 'compact', 'compact_due']);
SELECT columns_are('kyro', 'policies', ARRAY['relation', 'seal_after', 'seal_rows', 'seal_bytes', 'min_rows', 'batch', 'compact']);
SELECT columns_are('kyro', 'build_info', ARRAY['version', 'postgres', 'server', 'kernel', 'xxhash', 'preloaded', 'assertions']);
SELECT is((SELECT version FROM kyro.build_info), (SELECT extversion COLLATE "default" FROM pg_extension WHERE extname = 'kyrodb'), 'the library is of the version of the extension');

-- the access methods and the operator classes
SELECT is((SELECT amtype::text FROM pg_am WHERE amname = 'kyro'), 't', 'access method kyro is for tables');
SELECT is((SELECT amtype::text FROM pg_am WHERE amname = 'kyro_rmi'), 'i', 'access method kyro_rmi is for indexes');
SELECT is((SELECT array_agg(opcintype::regtype::text ORDER BY opcintype::regtype::text) FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod
	WHERE amname = 'kyro_rmi' AND opcdefault), ARRAY['bigint', 'date', 'integer', 'smallint', 'timestamp with time zone', 'timestamp without time zone'],
	'a default operator class for each supported type');
SELECT ok(amvalidate(c.oid), 'amvalidate ' || opcname) FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod WHERE amname = 'kyro_rmi';

-- everything that belongs to the extension has a comment
SELECT isnt(coalesce(obj_description(objid, classid::regclass::name), ''), '', 'comment on ' || pg_describe_object(classid, objid, 0))
	FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'kyrodb')
		AND deptype = 'e' AND classid IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_opclass'::regclass, 'pg_opfamily'::regclass, 'pg_namespace'::regclass, 'pg_am'::regclass)
	ORDER BY pg_describe_object(classid, objid, 0);
SELECT isnt(coalesce(obj_description(oid, 'pg_extension'), ''), '', 'comment on the extension') FROM pg_extension WHERE extname = 'kyrodb';

-- everything lives in schema kyro, nothing is left in others
SELECT is_empty($$SELECT pg_describe_object(classid, objid, 0) FROM pg_depend d WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'kyrodb') AND
	coalesce((SELECT pronamespace FROM pg_proc WHERE classid = 'pg_proc'::regclass AND oid = objid),
		(SELECT relnamespace FROM pg_class WHERE classid = 'pg_class'::regclass AND oid = objid),
		(SELECT opcnamespace FROM pg_opclass WHERE classid = 'pg_opclass'::regclass AND oid = objid),
		(SELECT opfnamespace FROM pg_opfamily WHERE classid = 'pg_opfamily'::regclass AND oid = objid), 'kyro'::regnamespace) <> 'kyro'::regnamespace$$,
	'no object of the extension outside schema kyro');

-- privileges
CREATE ROLE contract_nobody;
SELECT ok(has_schema_privilege('contract_nobody', 'kyro', 'USAGE'), 'everybody may use schema kyro');
SELECT ok(NOT has_schema_privilege('contract_nobody', 'kyro', 'CREATE'), 'nobody may create in it');
SELECT ok(has_table_privilege('contract_nobody', 'kyro.' || v, 'SELECT'), 'everybody may read kyro.' || v) FROM unnest(ARRAY['stat_indexes', 'stat_tables', 'stat_runs', 'stat_progress_verify', 'stat_progress_seal', 'stat_worker', 'stat_policies', 'build_info']) v;
SELECT ok(has_function_privilege('contract_nobody', f::regprocedure, 'EXECUTE') = may, 'PUBLIC and ' || f)
	FROM (VALUES ('kyro.rebuild(regclass)', true), ('kyro.warmup(regclass)', true), ('kyro.verify(regclass, boolean)', true), ('kyro.model(regclass)', true),
		('kyro.snapshot(regclass, bigint)', true), ('kyro.set_policy(regclass, interval, bigint, bigint, bigint, bigint, boolean)', true), ('kyro.drop_policy(regclass)', true), ('kyro.worker_records()', true), ('kyro.estimated_rows(regclass)', true), ('kyro.on_drop()', false), ('kyro.health()', false), ('kyro.advise(name)', true), ('kyro.predict_index(regclass)', true), ('kyro.predict_table(regclass)', true), ('kyro.table_counters(oid)', true), ('kyro.index_counters(oid)', true), ('kyro.index_latency(oid, boolean)', true), ('kyro.shared_directory_bytes(oid)', true), ('kyro.shared_directories()', true), ('kyro.stat_reset(regclass)', false), ('kyro.sees_table(oid)', true), ('kyro.table_runs(regclass)', true), ('kyro.table_shape(regclass)', true), ('kyro.index_shape(regclass)', true), ('kyro.model_leaves(regclass)', false), ('kyro.export_model(regclass)', false), ('kyro.training_keys(regclass)', false), ('kyro.import_model(regclass, bytea)', true), ('kyro.model_history(regclass)', true),
		('kyro.trace(regclass, anyelement)', false), ('kyro.trace(regclass, text)', false), ('kyro.explain(regclass, anyelement)', false), ('kyro.explain(regclass, text)', false)) v(f, may);
SELECT ok(has_function_privilege('pg_monitor', f::regprocedure, 'EXECUTE'), 'pg_monitor and ' || f)
	FROM unnest(ARRAY['kyro.model_leaves(regclass)', 'kyro.export_model(regclass)', 'kyro.training_keys(regclass)', 'kyro.trace(regclass, anyelement)', 'kyro.trace(regclass, text)', 'kyro.explain(regclass, anyelement)', 'kyro.explain(regclass, text)', 'kyro.health()']) f;

-- Functions written in SQL or PL need a pinned search_path, but for those whose body was parsed when they were made.
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = prolang WHERE pronamespace = 'kyro'::regnamespace AND lanname <> 'c' AND prosqlbody IS NULL
	AND NOT EXISTS (SELECT 1 FROM unnest(proconfig) c WHERE c LIKE 'search_path=%')$$, 'no function depends on search_path');
CREATE SCHEMA evil;
CREATE FUNCTION evil.pg_relation_size(regclass) RETURNS bigint LANGUAGE sql AS 'SELECT -1::bigint';
CREATE FUNCTION evil.eq(oid, oid) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.eq);
CREATE TABLE public.t AS SELECT g::bigint AS k FROM generate_series(1, 1000) g;
CREATE INDEX t_k ON public.t USING kyro_rmi (k);
SET LOCAL search_path = evil, pg_catalog, public;
SELECT public.ok((SELECT size > 0 FROM kyro.stat_indexes WHERE indexrelname = 't_k'), 'views look nowhere else');
SET LOCAL search_path = public;
SELECT is((SELECT matches FROM kyro.trace(index => 't_k', key => 5)), 1::bigint, 'named arguments');
SELECT is_empty($$SELECT * FROM kyro.verify(rel => 't_k', deep => true)$$, 'verify by names');

-- settings
SELECT isnt(short_desc, '', name || ' has a description') FROM pg_settings WHERE name LIKE 'kyro.%';
SELECT is((SELECT array_agg(name ORDER BY name) FROM pg_settings WHERE name LIKE 'kyro.%' AND name NOT LIKE 'kyro.debug%'), ARRAY['kyro.autopilot', 'kyro.autopilot_naptime', 'kyro.autowarm', 'kyro.busy_patience', 'kyro.busy_sessions', 'kyro.constraint_index_method', 'kyro.cost_delay', 'kyro.cost_limit', 'kyro.directory_cache', 'kyro.log_min_duration', 'kyro.max_workers', 'kyro.mmap', 'kyro.resource_manager', 'kyro.retrain_misses_scale_factor', 'kyro.retrain_misses_threshold', 'kyro.retrain_scale_factor', 'kyro.retrain_threshold', 'kyro.sample_rate', 'kyro.sealed_load', 'kyro.shared_directories', 'kyro.table_cache'], 'settings');

-- the version: one upgrade path to it from nothing
SELECT ok(EXISTS (SELECT 1 FROM pg_available_extension_versions WHERE name = 'kyrodb' AND installed AND superuser AND NOT relocatable), 'installed by a superuser, not relocatable');

SELECT * FROM finish();
ROLLBACK;
