-- For phases that only read: lists, and a fresh table with all indexes, unless
-- the phase before left it.
\ir lists.sql
SELECT obj_description('bench.t'::regclass) IS DISTINCT FROM 'fresh, indexed' AS stale \gset
\if :stale
\ir fill.sql
SELECT bench.create_index(v) FROM unnest(bench.variants()) v \g /dev/null
VACUUM bench.t;
COMMENT ON TABLE bench.t IS 'fresh, indexed';
\endif
