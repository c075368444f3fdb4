-- What the extension says of its indexes.

\pset expanded on
\echo 'kyro.model(''events_ts_kyro''): the learned model'
SELECT * FROM kyro.model('events_ts_kyro');
\echo 'kyro.trace(''events_id_kyro'', ' :rows ' / 2): one look-up'
SELECT * FROM kyro.trace('events_id_kyro', :rows / 2);

\pset expanded off
\echo 'kyro.verify(index, deep => true): each index against its table; no row is sound'
SELECT b.index, v.block, v.problem
FROM demo.builds b, LATERAL kyro.verify(b.index, deep => true) v
WHERE b.am = 'kyro_rmi';

\echo 'kyro.stat_indexes'
SELECT indexrelname, idx_scan, idx_blks_read, idx_blks_hit, pg_size_pretty(size) AS size,
	   carrier, leaves, splits_since, eps_max
FROM kyro.stat_indexes ORDER BY 1;
