--
-- The operator classes: complete, consistent, and like btree's.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS kyrodb;
RESET client_min_messages;

SELECT opcname, opcintype::regtype AS type, opcdefault, opcfamily <> 0 AS has_family, amvalidate(c.oid)
	FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod WHERE amname = 'kyro_rmi' ORDER BY 1;
SELECT opfname, count(*) AS operators, count(DISTINCT (amoplefttype, amoprighttype)) AS type_pairs,
		array_agg(DISTINCT amopstrategy) AS strategies, array_agg(DISTINCT amoppurpose) AS purposes
	FROM pg_amop o JOIN pg_opfamily f ON f.oid = amopfamily JOIN pg_am a ON a.oid = opfmethod
	WHERE amname = 'kyro_rmi' GROUP BY 1 ORDER BY 1;

-- each operator stands for what it stands for in a btree family
SELECT o.amopopr::regoperator, o.amopstrategy FROM pg_amop o JOIN pg_am a ON a.oid = o.amopmethod
	WHERE amname = 'kyro_rmi' AND NOT EXISTS (SELECT 1 FROM pg_amop b JOIN pg_am ba ON ba.oid = b.amopmethod AND ba.amname = 'btree'
		WHERE b.amopopr = o.amopopr AND b.amopstrategy = o.amopstrategy);
-- and none of btree's for these types is missing
SELECT b.amopopr::regoperator FROM pg_amop b JOIN pg_opfamily f ON f.oid = b.amopfamily JOIN pg_am a ON a.oid = f.opfmethod
	WHERE amname = 'btree' AND opfname IN ('integer_ops', 'datetime_ops') AND NOT EXISTS
		(SELECT 1 FROM pg_amop o JOIN pg_am oa ON oa.oid = o.amopmethod WHERE oa.amname = 'kyro_rmi' AND o.amopopr = b.amopopr AND o.amopstrategy = b.amopstrategy);
-- equality can be hashed and merged, as the planner expects of members of one family
SELECT o.amopopr::regoperator FROM pg_amop o JOIN pg_am a ON a.oid = o.amopmethod JOIN pg_operator op ON op.oid = o.amopopr
	WHERE amname = 'kyro_rmi' AND amopstrategy = 3 AND NOT oprcanmerge;
-- support functions: comparisons of the right types, immutable or, between zones, stable
SELECT p.amproc::regprocedure, amproclefttype::regtype, amprocrighttype::regtype, amprocnum, provolatile, proparallel
	FROM pg_amproc p JOIN pg_opfamily f ON f.oid = amprocfamily JOIN pg_am a ON a.oid = opfmethod JOIN pg_proc ON pg_proc.oid = p.amproc
	WHERE amname = 'kyro_rmi' ORDER BY p.amproc::regprocedure::text COLLATE "C";

-- what the access method says it can
SELECT p AS property, pg_indexam_has_property(a.oid, p) FROM pg_am a,
	unnest(ARRAY['can_order', 'can_unique', 'can_multi_col', 'can_exclude', 'can_include', 'bogus']) p WHERE amname = 'kyro_rmi';
CREATE SCHEMA validate;
SET search_path = validate, public;
CREATE TABLE t (k bigint);
CREATE INDEX t_k ON t USING kyro_rmi (k);
SELECT p AS property, pg_index_has_property('t_k', p) FROM unnest(ARRAY['clusterable', 'index_scan', 'bitmap_scan', 'backward_scan']) p;
SELECT p AS property, pg_index_column_has_property('t_k', 1, p)
	FROM unnest(ARRAY['asc', 'desc', 'nulls_first', 'nulls_last', 'orderable', 'distance_orderable', 'returnable', 'search_array', 'search_nulls']) p;

-- an operator class of somebody else's is checked
CREATE OPERATOR FAMILY bad USING kyro_rmi;
CREATE OPERATOR CLASS bad_ops FOR TYPE int8 USING kyro_rmi FAMILY bad AS OPERATOR 1 <, OPERATOR 3 =, FUNCTION 1 btint8cmp(int8, int8);
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'bad_ops';
CREATE OPERATOR CLASS bad_number FOR TYPE int8 USING kyro_rmi AS OPERATOR 9 <, FUNCTION 1 btint8cmp(int8, int8);
CREATE OPERATOR CLASS bad_text FOR TYPE text USING kyro_rmi AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 bttextcmp(text, text);
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'bad_text';
CREATE TABLE txt (k text);
CREATE INDEX ON txt USING kyro_rmi (k bad_text);
INSERT INTO txt VALUES ('a');
CREATE INDEX ON txt USING kyro_rmi (k bad_text);
DROP TABLE txt;
DROP OPERATOR CLASS bad_ops USING kyro_rmi;
DROP OPERATOR CLASS bad_text USING kyro_rmi;
