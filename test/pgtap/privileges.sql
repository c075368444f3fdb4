-- Each function, procedure and view, tried by who has no rights, who may read the table, who owns it, a member of
-- pg_monitor, and a superuser: what comes of it, letter by letter.
SELECT no_plan();
SET client_min_messages = warning;
CREATE ROLE priv_plain;
CREATE ROLE priv_reader;
CREATE ROLE priv_owner;
CREATE ROLE priv_monitor IN ROLE pg_monitor;
CREATE ROLE priv_super SUPERUSER;
GRANT CREATE ON SCHEMA public TO priv_owner;
SET ROLE priv_owner;
CREATE TABLE priv_t (id bigint PRIMARY KEY WITH (kyro_rmi), k bigint, v text) USING kyro;
CREATE INDEX priv_k ON priv_t USING kyro_rmi (k);
-- so that there is a shared copy of its directory
SELECT kyro.warmup('priv_k') > 0 AS warm;
CREATE UNIQUE INDEX priv_b ON priv_t USING kyro_rmi (id);
INSERT INTO priv_t SELECT g, g * 3, 'v' || g FROM generate_series(1, 5000) g;
SELECT kyro.set_policy('priv_t', seal_rows => 1000000);
SELECT kyro.create_log('priv_l');
SELECT kyro.append('priv_l', '{}');
SELECT kyro.create_log('priv_lb', 'bytea');
SELECT kyro.append_bytes('priv_lb', 'x');
SELECT kyro.create_log('priv_lp', partition_by => 'offset', every => '1000');
SELECT kyro.create_kv('priv_kv', history => true);
SELECT kyro.put('priv_kv', 1, 'one');
CREATE TABLE priv_h (id int PRIMARY KEY, v text);
SELECT kyro.keep_history('priv_h', '1 day');
SELECT kyro.create_epoch('priv');
INSERT INTO priv_h VALUES (1, 'a');
GRANT SELECT ON priv_t, priv_l, priv_lb, priv_lp, priv_kv, priv_kv_history, priv_h TO priv_reader;
RESET ROLE;
CREATE TABLE priv_model AS SELECT kyro.export_model('priv_k') AS m;
GRANT SELECT ON priv_model TO PUBLIC;

-- What comes of a command: "+", "-" if it is not allowed, else its SQLSTATE.  Nothing of it stays.
CREATE FUNCTION priv_try(who name, what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		EXECUTE format('SET LOCAL ROLE %I', who);
		EXECUTE what;
		RAISE EXCEPTION USING ERRCODE = 'KY000';
	EXCEPTION
		WHEN SQLSTATE 'KY000' THEN RETURN '+';
		WHEN insufficient_privilege THEN RETURN '-';
		WHEN OTHERS THEN RETURN SQLSTATE;
	END;
END $$;
CREATE FUNCTION priv_all(what text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(priv_try(who, what), ' ' ORDER BY i) FROM unnest('{priv_plain, priv_reader, priv_owner, priv_monitor, priv_super}'::name[]) WITH ORDINALITY AS r(who, i)
$$;

-- plain, reader, owner, monitor, superuser
CREATE TABLE priv_calls (expected text, function text, call text);
INSERT INTO priv_calls VALUES
-- change an index or a table: the owner
('- - + - +', 'rebuild(regclass)', $$SELECT kyro.rebuild('priv_k')$$),
('- - + - +', 'verify(regclass,boolean)', $$SELECT * FROM kyro.verify('priv_k')$$),
('- - + - +', 'verify(regclass,boolean)', $$SELECT * FROM kyro.verify('priv_t')$$),
('- - + - +', 'snapshot(regclass,bigint)', $$SELECT * FROM kyro.snapshot('priv_t')$$),
('- - + - +', 'import_model(regclass,bytea)', $$SELECT kyro.import_model('priv_k', m) FROM priv_model$$),
('- - + - +', 'set_policy(regclass,interval,bigint,bigint,bigint,bigint,boolean)', $$SELECT kyro.set_policy('priv_t', seal_rows => 7)$$),
('- - + - +', 'drop_policy(regclass)', $$SELECT kyro.drop_policy('priv_t')$$),
('- - + - +', 'adopt_index(regclass,name,boolean)', $$SELECT kyro.adopt_index('priv_b', 'priv_adopted')$$),
('- - 42809 - 42809', 'swap_index(regclass,regclass)', $$SELECT kyro.swap_index('priv_b', 'priv_t_pkey')$$),
('- - + - +', 'leave(boolean)', $$SELECT * FROM kyro.leave(dry_run => false)$$),
('+ + + + +', 'leave(boolean)', $$SELECT * FROM kyro.leave()$$),
('- - - - +', 'stat_reset(regclass)', $$SELECT kyro.stat_reset('priv_t')$$),
('- - - - +', 'stat_reset(regclass)', $$SELECT kyro.stat_reset()$$),
-- read it: who may read the table
('- + + - +', 'warmup(regclass)', $$SELECT kyro.warmup('priv_k')$$),
('- + + - +', 'warmup(regclass)', $$SELECT kyro.warmup('priv_t')$$),
-- numbers about it: pg_monitor, too
('- + + + +', 'model(regclass)', $$SELECT * FROM kyro.model('priv_k')$$),
('- + + + +', 'model_history(regclass)', $$SELECT * FROM kyro.model_history('priv_k')$$),
('- + + + +', 'index_shape(regclass)', $$SELECT * FROM kyro.index_shape('priv_k')$$),
('- + + + +', 'table_shape(regclass)', $$SELECT * FROM kyro.table_shape('priv_t')$$),
('- + + + +', 'table_runs(regclass)', $$SELECT * FROM kyro.table_runs('priv_t')$$),
('- + + + +', 'estimated_rows(regclass)', $$SELECT kyro.estimated_rows('priv_t')$$),
('- + + + +', 'predict_table(regclass)', $$SELECT * FROM kyro.predict_table('priv_t')$$),
('- + + + +', 'predict_index(regclass)', $$SELECT * FROM kyro.predict_index('priv_btree')$$),
-- keys: pg_monitor, whoever owns it
('- - - + +', 'model_leaves(regclass)', $$SELECT * FROM kyro.model_leaves('priv_k')$$),
('- - - + +', 'export_model(regclass)', $$SELECT kyro.export_model('priv_k')$$),
('- - - + +', 'training_keys(regclass)', $$SELECT * FROM kyro.training_keys('priv_k')$$),
('- - - + +', 'trace(regclass,anyelement)', $$SELECT * FROM kyro.trace('priv_k', 3)$$),
('- - - + +', 'trace(regclass,text)', $$SELECT * FROM kyro.trace('priv_k', '3'::text)$$),
('- - - + +', 'explain(regclass,anyelement)', $$SELECT * FROM kyro.explain('priv_k', 3)$$),
('- - - + +', 'explain(regclass,text)', $$SELECT * FROM kyro.explain('priv_k', '3'::text)$$),
('- - - + +', 'health()', $$SELECT * FROM kyro.health()$$),
-- of what the user sees
('+ + + + +', 'advise(name)', $$SELECT * FROM kyro.advise()$$),
('+ + + + +', 'worker_records()', $$SELECT * FROM kyro.worker_records()$$),
('+ + + + +', 'verify_progress()', $$SELECT * FROM kyro.verify_progress()$$),
('+ + + + +', 'seal_progress()', $$SELECT * FROM kyro.seal_progress()$$),
('+ + + + +', 'compact_pays(bigint,bigint,bigint,bigint,bigint,bigint)', $$SELECT kyro.compact_pays(1, 1, 1, 1, 1, 1)$$),
('+ + + + +', 'build_info_row()', $$SELECT * FROM kyro.build_info_row()$$),
('22012 + + + +', 'sees_table(oid)', $$SELECT 1 / kyro.sees_table('priv_t'::regclass)::int$$),
('22012 + + + +', 'index_counters(oid)', $$SELECT 1 / (lookups IS NOT NULL)::int FROM kyro.index_counters('priv_k'::regclass)$$),
('22012 + + + +', 'table_counters(oid)', $$SELECT 1 / (seals IS NOT NULL)::int FROM kyro.table_counters('priv_t'::regclass)$$),
('22012 + + + +', 'index_latency(oid,boolean)', $$SELECT 1 / (count(le) > 0)::int FROM kyro.index_latency('priv_k'::regclass, false)$$),
('22012 + + + +', 'shared_directory_bytes(oid)', $$SELECT 1 / (coalesce(kyro.shared_directory_bytes('priv_k'::regclass), 0) > 0)::int$$),
('+ + + + +', 'shared_directories()', $$SELECT * FROM kyro.shared_directories()$$),
('+ + + + +', 'leave_index(regclass,text)', $$SELECT * FROM kyro.leave_index('priv_k')$$),
-- event logs
('- - + - +', 'create_log(text,regtype,text,text)', $$SELECT kyro.create_log('priv_new')$$),
('- - + - +', 'make_log(text[],regtype,text,text)', $$SELECT kyro.make_log('{public, priv_new}', 'jsonb', NULL, NULL)$$),
('- - + - +', 'append(text,jsonb,bigint,text,uuid)', $$SELECT kyro.append('priv_l', '{}')$$),
('- - + - +', 'append_bytes(text,bytea,bigint,text,uuid)', $$SELECT kyro.append_bytes('priv_lb', 'x')$$),
('- - + - +', 'append_batch(text,jsonb[],bigint[],text[],uuid[])', $$SELECT kyro.append_batch('priv_l', ARRAY['{}'::jsonb])$$),
('- - + - +', 'append_batch(regclass,jsonb[],bigint[],text[],uuid[])', $$SELECT kyro.append_batch('priv_l'::regclass, ARRAY['{}'::jsonb])$$),
('- + + - +', 'replay(text,bigint,bigint,bigint)', $$SELECT * FROM kyro.replay('priv_l')$$),
('- + + - +', 'replay_bytes(text,bigint,bigint,bigint)', $$SELECT * FROM kyro.replay_bytes('priv_lb')$$),
('- + + - +', 'last_offset(text)', $$SELECT kyro.last_offset('priv_l')$$),
('- + + - +', 'stable_offset(text)', $$SELECT kyro.stable_offset('priv_l')$$),
('- + + - +', 'subscribe(text,bigint,bigint)', $$SELECT * FROM kyro.subscribe('priv_l')$$),
('- + + - +', 'subscribe(regclass,bigint,bigint)', $$SELECT * FROM kyro.subscribe('priv_l'::regclass)$$),
('- + + - +', 'listen_lock(regclass)', $$SELECT kyro.listen_lock('priv_l')$$),
('+ + + + +', 'listen_unlock(regclass)', $$SELECT kyro.listen_unlock('priv_l')$$),
('+ + + + +', 'unsubscribe(text)', $$SELECT kyro.unsubscribe('priv_l')$$),
('+ + + + +', 'unsubscribe(regclass)', $$SELECT kyro.unsubscribe('priv_l'::regclass)$$),
('- - + - +', 'consume(text,text,bigint,interval)', $$SELECT * FROM kyro.consume('priv_l', 'c')$$),
('- - + - +', 'consume(regclass,text,bigint,interval)', $$SELECT * FROM kyro.consume('priv_l'::regclass, 'c')$$),
('- - 55000 - 55000', 'ack(text,text,bigint,bigint)', $$SELECT kyro.ack('priv_l', 'c', 1)$$),
('- - 55000 - 55000', 'ack(regclass,text,bigint,bigint)', $$SELECT kyro.ack('priv_l'::regclass, 'c', 1)$$),
('- - 55000 - 55000', 'renew(text,text,bigint,interval)', $$SELECT kyro.renew('priv_l', 'c', 1)$$),
('- - 55000 - 55000', 'renew(regclass,text,bigint,interval)', $$SELECT kyro.renew('priv_l'::regclass, 'c', 1)$$),
('55000 55000 55000 55000 55000', 'lease_is_over(regclass,text,bigint)', $$SELECT kyro.lease_is_over('priv_l', 'c', 1)$$),
('- - + - +', 'seek(text,text,bigint)', $$SELECT kyro.seek('priv_l', 'c', 1)$$),
('- - + - +', 'seek(regclass,text,bigint)', $$SELECT kyro.seek('priv_l'::regclass, 'c', 1)$$),
('- - + - +', 'extend_log(text,integer,text)', $$SELECT kyro.extend_log('priv_lp', 9)$$),
('- - + - +', 'extend_log(regclass,integer,text)', $$SELECT kyro.extend_log('priv_lp'::regclass, 9)$$),
('- - + - +', 'trim(text,bigint)', $$SELECT * FROM kyro.trim('priv_l', 1)$$),
('- - + - +', 'trim(regclass,bigint)', $$SELECT * FROM kyro.trim('priv_l'::regclass, 1)$$),
('- - + - +', 'trim(text,timestamp with time zone)', $$SELECT * FROM kyro.trim('priv_l', now())$$),
('- - + - +', 'trim(regclass,timestamp with time zone)', $$SELECT * FROM kyro.trim('priv_l'::regclass, now())$$),
('- - + - +', 'compact_log(text,bigint)', $$SELECT kyro.compact_log('priv_l')$$),
('- - + - +', 'compact_log(regclass,bigint)', $$SELECT kyro.compact_log('priv_l'::regclass)$$),
('- - + - +', 'drop_log(text)', $$SELECT kyro.drop_log('priv_l')$$),
('- - + - +', 'drop_log(regclass)', $$SELECT kyro.drop_log('priv_l'::regclass)$$),
('- - + - +', 'next_offset(regclass)', $$SELECT kyro.next_offset('priv_l_offset_seq')$$),
('+ + + + +', 'event_horizon(bigint)', $$SELECT kyro.event_horizon(1)$$),
-- key-value tables
('- - + - +', 'create_kv(text,text,boolean)', $$SELECT kyro.create_kv('priv_new')$$),
('- - + - +', 'make_kv(text[],text,regtype,boolean)', $$SELECT kyro.make_kv('{public, priv_new}', 'text', 'text', false)$$),
('- - + - +', 'put(text,bigint,text,bigint)', $$SELECT kyro.put('priv_kv', 1, '2')$$),
('- - + - +', 'put(regclass,bigint,text,bigint)', $$SELECT kyro.put('priv_kv'::regclass, 1, '2')$$),
('- - + - +', 'delete(text,bigint,bigint)', $$SELECT kyro.delete('priv_kv', 1)$$),
('- - + - +', 'delete(regclass,bigint,bigint)', $$SELECT kyro.delete('priv_kv'::regclass, 1)$$),
('- + + - +', 'get(text,bigint)', $$SELECT kyro.get('priv_kv', 1)$$),
('- + + - +', 'get(regclass,bigint)', $$SELECT kyro.get('priv_kv'::regclass, 1)$$),
('- + + - +', 'get(text,bigint,bigint)', $$SELECT kyro.get('priv_kv', 1, 1)$$),
('- + + - +', 'get(regclass,bigint,bigint)', $$SELECT kyro.get('priv_kv'::regclass, 1, 1)$$),
('- + + - +', 'get(text,bigint,timestamp with time zone)', $$SELECT kyro.get('priv_kv', 1, now())$$),
('- + + - +', 'get(regclass,bigint,timestamp with time zone)', $$SELECT kyro.get('priv_kv'::regclass, 1, now())$$),
('- + + - +', 'get_many(text,bigint[])', $$SELECT * FROM kyro.get_many('priv_kv', '{1}')$$),
('- + + - +', 'get_many(regclass,bigint[])', $$SELECT * FROM kyro.get_many('priv_kv'::regclass, '{1}')$$),
('- + + - +', 'scan(text,bigint,bigint,bigint)', $$SELECT * FROM kyro.scan('priv_kv')$$),
('- + + - +', 'scan(regclass,bigint,bigint,bigint)', $$SELECT * FROM kyro.scan('priv_kv'::regclass)$$),
('- + + - +', 'exists(text,bigint)', $$SELECT kyro.exists('priv_kv', 1)$$),
('- + + - +', 'exists(regclass,bigint)', $$SELECT kyro.exists('priv_kv'::regclass, 1)$$),
('- - + - +', 'drop_kv(text)', $$SELECT kyro.drop_kv('priv_kv')$$),
('- - + - +', 'drop_kv(regclass)', $$SELECT kyro.drop_kv('priv_kv'::regclass)$$),
-- histories: who may read the table may read its past, but who changed what is for the owner
('- + + - +', 'as_of(anyelement,text)', $$SELECT * FROM kyro.as_of(NULL::priv_h, 'priv')$$),
('- 22023 22023 - 22023', 'as_of(anyelement,timestamp with time zone)', $$SELECT * FROM kyro.as_of(NULL::priv_h, 'infinity'::timestamptz)$$),
('- - + - +', 'changes(anyelement)', $$SELECT * FROM kyro.changes(NULL::priv_h)$$),
('- - + - +', 'restore_to(regclass,text,boolean)', $$SELECT kyro.restore_to('priv_h', 'priv', false)$$),
('- - 22023 - 22023', 'restore_to(regclass,timestamp with time zone,boolean)', $$SELECT kyro.restore_to('priv_h', 'infinity'::timestamptz, false)$$),
('- - + - +', 'restore(regclass,text,timestamp with time zone,boolean)', $$SELECT kyro.restore('priv_h', 'priv', NULL, true)$$),
('- - + - +', 'restore_steps(anyelement,text,integer[])', $$SELECT * FROM kyro.restore_steps(NULL::priv_h, kyro.past_changes('priv_h', 'priv'), NULL)$$),
('- - + - +', 'keep_history(regclass,interval)', $$SELECT kyro.keep_history('priv_t', '1 day')$$),
('- - + - +', 'keep_history(regclass,interval)', $$SELECT kyro.keep_history('priv_h', '2 days')$$),
('- - + - +', 'drop_history(regclass)', $$SELECT kyro.drop_history('priv_h')$$),
('- - + - +', 'prune_history(regclass)', $$SELECT kyro.prune_history('priv_h')$$),
('- - + - +', 'register_history(regclass,regclass,interval)', $$SELECT kyro.register_history('priv_h', 'priv_h_changes', '2 days')$$),
('- - + - +', 'forget_history(regclass)', $$SELECT kyro.forget_history('priv_h')$$),
('- - + - +', 'note_pruned(regclass,integer,xid8,timestamp with time zone)', $$SELECT kyro.note_pruned('priv_h', NULL, NULL, now())$$),
('- - + - +', 'note_truncates(regclass)', $$SELECT kyro.note_truncates('priv_t')$$),
('+ + + + +', 'create_epoch(text)', $$SELECT kyro.create_epoch('priv new')$$),
('- - + - +', 'drop_epoch(text)', $$SELECT kyro.drop_epoch('priv')$$),
('- - - - +', 'create_epoch_as_owner(text,text)', $$SELECT kyro.create_epoch_as_owner('priv new', 'priv_owner')$$),
('- - - - +', 'drop_epoch_as_owner(text,text)', $$SELECT kyro.drop_epoch_as_owner('priv', 'priv_owner')$$),
('- - - - +', 'register_history_as_owner(regclass,regclass,interval,text)', $$SELECT kyro.register_history_as_owner('priv_h', 'priv_h_changes', '2 days', 'priv_owner')$$),
('- - - - +', 'forget_history_as_owner(regclass,text)', $$SELECT kyro.forget_history_as_owner('priv_h', 'priv_owner')$$),
('- - - - +', 'note_pruned_as_owner(regclass,integer,xid8,timestamp with time zone,text)', $$SELECT kyro.note_pruned_as_owner('priv_h', NULL, NULL, now(), 'priv_owner')$$),
('- - - - +', 'current_era()', $$SELECT kyro.current_era()$$),
('- - - - +', 'cut_history(regclass)', $$SELECT kyro.cut_history('priv_h')$$),
('- - - - +', 'refit_history(kyro.histories)', $$SELECT kyro.refit_history(h) FROM kyro.histories h$$),
('- - - - +', 'sees_histories()', $$SELECT kyro.sees_histories()$$),
('+ + + + +', 'pin_settings()', $$SELECT kyro.pin_settings()$$),
('+ + + + +', 'row_image(record)', $$SELECT kyro.row_image(ROW(1, 'a')::priv_h)$$),
('+ + + + +', 'image_row(anyelement,text[])', $$SELECT kyro.image_row(NULL::priv_h, '{1, a}')$$),
('+ + + + +', 'fit_image(regclass,text[])', $$SELECT kyro.fit_image('priv_h', '{1, a}')$$),
('+ + + + +', 'history_begin(regclass)', $$SELECT kyro.history_begin('priv_h')$$),
('+ + + + +', 'history_parts(regclass)', $$SELECT kyro.history_parts('priv_h')$$),
('+ + + + +', 'history_is_recorded(regclass,oid[])', $$SELECT kyro.history_is_recorded('priv_h', ARRAY['priv_h'::regclass::oid])$$),
('+ + + + +', 'check_history_table(regclass)', $$SELECT kyro.check_history_table('priv_h')$$),
('+ + + + +', 'changes_beyond(regclass,text)', $$SELECT kyro.changes_beyond('priv_h', 'true')$$),
('+ + + + +', 'past_changes(regclass,text)', $$SELECT kyro.past_changes('priv_h', 'priv')$$),
('22023 22023 22023 22023 22023', 'past_changes(regclass,timestamp with time zone)', $$SELECT kyro.past_changes('priv_h', 'infinity'::timestamptz)$$),
('55000 55000 55000 55000 55000', 'commit_time(xid8)', $$SELECT kyro.commit_time('3')$$),
('+ + + + +', 'epochs', 'TABLE kyro.epochs'),
('+ + + + +', 'era', 'TABLE kyro.era'),
('+ + + + +', 'histories', 'TABLE kyro.histories'),
('- - - - +', 'epochs', 'DELETE FROM kyro.epochs'),
('- - - - +', 'era', 'DELETE FROM kyro.era'),
('- - - - +', 'histories', 'DELETE FROM kyro.histories'),
-- what the catalogs tell everybody
('+ + + + +', 'channel(text)', $$SELECT kyro.channel('priv_l')$$),
('+ + + + +', 'channel(regclass)', $$SELECT kyro.channel('priv_l'::regclass)$$),
('+ + + + +', 'event_log(text)', $$SELECT kyro.event_log('priv_l')$$),
('+ + + + +', 'creation_name(text)', $$SELECT kyro.creation_name('priv_new')$$),
('+ + + + +', 'beside_log(regclass,text)', $$SELECT kyro.beside_log('priv_l', 'consumers')$$),
('+ + + + +', 'log_partitions(regclass)', $$SELECT kyro.log_partitions('priv_lp')$$),
('+ + + + +', 'kv_table(text)', $$SELECT kyro.kv_table('priv_kv')$$),
('+ + + + +', 'kv_type(regclass)', $$SELECT kyro.kv_type('priv_kv')$$),
-- views: a row of the table is there for who sees it
('22012 + + + +', 'stat_indexes', $$SELECT 1 / count(*) FROM kyro.stat_indexes WHERE indexrelname = 'priv_k'$$),
('22012 + + + +', 'stat_tables', $$SELECT 1 / count(*) FROM kyro.stat_tables WHERE relname = 'priv_t'$$),
('22012 + + + +', 'stat_runs', $$SELECT 1 / count(*) FROM kyro.stat_runs WHERE relname = 'priv_sealed'$$),
('22012 + + + +', 'stat_policies', $$SELECT 1 / count(*) FROM kyro.stat_policies WHERE relname = 'priv_t'$$),
('+ + + + +', 'stat_worker', 'TABLE kyro.stat_worker'),
('+ + + + +', 'stat_progress_verify', 'TABLE kyro.stat_progress_verify'),
('+ + + + +', 'stat_progress_seal', 'TABLE kyro.stat_progress_seal'),
('+ + + + +', 'build_info', 'TABLE kyro.build_info'),
('+ + + + +', 'policies', 'TABLE kyro.policies'),
('- - - - +', 'policies', 'DELETE FROM kyro.policies');
-- counted, and sealed, so that there is something to see
CREATE TABLE priv_sealed (id bigint) USING kyro;
INSERT INTO priv_sealed SELECT generate_series(1, 1000);
SELECT rows FROM kyro.snapshot('priv_sealed');
ALTER TABLE priv_sealed OWNER TO priv_owner;
GRANT SELECT ON priv_sealed TO priv_reader;
CREATE TABLE priv_heap AS SELECT g::bigint AS k FROM generate_series(1, 5000) g;
CREATE INDEX priv_btree ON priv_heap (k);
ALTER TABLE priv_heap OWNER TO priv_owner;
GRANT SELECT ON priv_heap TO priv_reader;
SET enable_seqscan = off;
SET kyro.sample_rate = 1;
SELECT count(*) FROM priv_t WHERE k = 3;
RESET enable_seqscan;
RESET kyro.sample_rate;

SELECT is(priv_all(call), expected, call) FROM priv_calls;

-- Procedures, which want to begin transactions of their own: who is not the owner is told before they do.
\set ON_ERROR_STOP 0
\set ON_ERROR_ROLLBACK 0
SET ROLE priv_reader;
CALL kyro.seal('priv_t');
\set seal :SQLSTATE
CALL kyro.compact('priv_t');
\set compact :SQLSTATE
CALL kyro.replace_btree('priv_heap');
\set replace_btree :SQLSTATE
CALL kyro.restore_btree('priv_t');
\set restore_btree :SQLSTATE
RESET ROLE;
SELECT is(got, '42501', 'procedure of who is not the owner: ' || what) FROM (VALUES ('seal', :'seal'), ('compact', :'compact'), ('replace_btree', :'replace_btree'), ('restore_btree', :'restore_btree')) v(what, got);
SET ROLE priv_owner;
CALL kyro.seal('priv_t');
\set seal :SQLSTATE
CALL kyro.compact('priv_t');
\set compact :SQLSTATE
CALL kyro.replace_btree('priv_heap');
\set replace_btree :SQLSTATE
CALL kyro.restore_btree('priv_t');
\set restore_btree :SQLSTATE
RESET ROLE;
\set ON_ERROR_STOP 1
SELECT is(got, '00000', 'procedure of the owner: ' || what) FROM (VALUES ('seal', :'seal'), ('compact', :'compact'), ('replace_btree', :'replace_btree'), ('restore_btree', :'restore_btree')) v(what, got);

-- trim and exists are words of SQL
ALTER TABLE priv_calls ADD oid oid;
UPDATE priv_calls SET oid = to_regprocedure('kyro.' || regexp_replace(function, '^(\w+)', '"\1"')) WHERE function LIKE '%(%';
-- None is left out, but triggers and handlers, which nobody can call, and the procedures above.
SELECT is((SELECT string_agg(p.oid::regprocedure::text, ' ') FROM pg_proc p WHERE pronamespace = 'kyro'::regnamespace AND prokind = 'f'
	AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'index_am_handler'::regtype, 'table_am_handler'::regtype)
	AND NOT EXISTS (SELECT FROM priv_calls c WHERE p.oid = c.oid)), NULL, 'each function was tried');
SELECT is((SELECT string_agg(c.function, ' ') FROM priv_calls c WHERE c.oid IS NULL AND to_regclass('kyro.' || c.function) IS NULL), NULL, 'each name is right');
SELECT is((SELECT string_agg(relname, ' ') FROM pg_class r WHERE relnamespace = 'kyro'::regnamespace AND relkind IN ('r', 'v', 'm', 'p')
	AND NOT EXISTS (SELECT FROM priv_calls c WHERE c.function = relname)), NULL, 'each view and table was read');
SELECT is((SELECT string_agg(p.proname, ' ' ORDER BY proname) FROM pg_proc p WHERE pronamespace = 'kyro'::regnamespace AND prokind = 'p'), 'compact replace_btree restore_btree seal', 'there is no other procedure');
SELECT * FROM finish();
