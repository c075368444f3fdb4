-- One row in a hundred gets a new version, on another page: the pages are full.
\ir fill.sql
SELECT bench.create_index(v) FROM unnest(bench.variants()) v \g /dev/null
UPDATE bench.t SET v = -v WHERE abs(hashint8(v)) % 100 = 0;
SELECT bench.note_sizes('size after 1% updates') \g /dev/null
