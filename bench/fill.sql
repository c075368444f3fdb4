-- A fresh table in heap order, without indexes, all visible.
SELECT bench.drop_indexes() \g /dev/null
COMMENT ON TABLE bench.t IS NULL;
TRUNCATE bench.t;
INSERT INTO bench.t SELECT k, v FROM bench.keys;
VACUUM (ANALYZE) bench.t;
CHECKPOINT;
