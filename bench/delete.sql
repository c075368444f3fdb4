-- One row in ten goes, at random.
\ir fill.sql
SELECT bench.create_index(v) FROM unnest(bench.variants()) v \g /dev/null
DELETE FROM bench.t WHERE abs(hashint8(v)) % 10 = 0;
VACUUM bench.t;
SELECT bench.note_sizes('size after 10% deletes, VACUUM') \g /dev/null
