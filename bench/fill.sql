-- A fresh table in heap order, without indexes, all visible.
DROP INDEX IF EXISTS bench.t_btree, bench.t_kyro_rmi;
TRUNCATE bench.t;
INSERT INTO bench.t SELECT k, v FROM bench.keys;
VACUUM (ANALYZE) bench.t;
CHECKPOINT;
