-- :query through btree, then through kyro_rmi; see explain.sql.
\o /dev/null
BEGIN;
DROP INDEX files_mtime_kyro, files_inode_kyro, events_id_kyro, events_ts_kyro;
:explain :query;
\o
\echo
\echo 'btree:'
:explain :query;
ROLLBACK;
\o /dev/null
BEGIN;
DROP INDEX files_mtime_btree, files_inode_btree, events_id_btree, events_ts_btree;
:explain :query;
\o
\echo
\echo 'kyro_rmi:'
:explain :query;
ROLLBACK;
