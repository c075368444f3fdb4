/*-------------------------------------------------------------------------
 *
 * validate.c
 *	  Operator class validator of kyro_rmi.
 *
 * An operator class is sound if its type is one that keys.c can map, and its
 * family has, for every pair of the types in it, the five comparison operators
 * under btree's strategy numbers and a comparison function.  Operators that
 * merely look right cannot be told from right ones here, as everywhere.
 *
 * IDENTIFICATION
 *	  src/rmi/validate.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/amvalidate.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type_d.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "rmi/kyro_rmi.h"

#define RMI_ALL_STRATEGIES \
	((UINT64CONST(1) << BTLessStrategyNumber) | \
	 (UINT64CONST(1) << BTLessEqualStrategyNumber) | \
	 (UINT64CONST(1) << BTEqualStrategyNumber) | \
	 (UINT64CONST(1) << BTGreaterEqualStrategyNumber) | \
	 (UINT64CONST(1) << BTGreaterStrategyNumber))

/* Say what is wrong with a family or class, and go on looking. */
#define complain(...) \
	ereport(INFO, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION), errmsg(__VA_ARGS__)))

static bool
key_type_supported(Oid type)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return true;
		default:
			return false;
	}
}

/* Support numbers and signatures of all support functions of a family. */
static bool
check_functions(CatCList *list, const char *family)
{
	bool		ok = true;

	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_amproc proc = (Form_pg_amproc) GETSTRUCT(&list->members[i]->tuple);

		if (proc->amprocnum != RMI_CMP_PROC)
		{
			complain("operator family \"%s\" of access method %s contains function %s with invalid support number %d",
					 family, "kyro_rmi", format_procedure(proc->amproc), proc->amprocnum);
			ok = false;
		}
		else if (!check_amproc_signature(proc->amproc, INT4OID, true, 2, 2,
										 proc->amproclefttype, proc->amprocrighttype))
		{
			complain("operator family \"%s\" of access method %s contains function %s with wrong signature for support number %d",
					 family, "kyro_rmi", format_procedure(proc->amproc), proc->amprocnum);
			ok = false;
		}
	}
	return ok;
}

/* Strategies, purposes and signatures of all operators of a family. */
static bool
check_operators(CatCList *list, const char *family)
{
	bool		ok = true;

	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_amop op = (Form_pg_amop) GETSTRUCT(&list->members[i]->tuple);

		if (op->amopstrategy < BTLessStrategyNumber ||
			op->amopstrategy > BTMaxStrategyNumber)
		{
			complain("operator family \"%s\" of access method %s contains operator %s with invalid strategy number %d",
					 family, "kyro_rmi", format_operator(op->amopopr), op->amopstrategy);
			ok = false;
		}
		if (op->amoppurpose != AMOP_SEARCH || OidIsValid(op->amopsortfamily))
		{
			complain("operator family \"%s\" of access method %s contains invalid ORDER BY specification for operator %s",
					 family, "kyro_rmi", format_operator(op->amopopr));
			ok = false;
		}
		if (!check_amop_signature(op->amopopr, BOOLOID, op->amoplefttype, op->amoprighttype))
		{
			complain("operator family \"%s\" of access method %s contains operator %s with wrong signature",
					 family, "kyro_rmi", format_operator(op->amopopr));
			ok = false;
		}
	}
	return ok;
}

/*
 * Is every pair of the family's types served, and the class's own type among
 * them?  Without cross-type operators a comparison with a plain integer
 * constant would not use an index on bigint.
 */
static bool
check_pairs(List *groups, const char *family, const char *opclass, Oid opcintype)
{
	bool		ok = true;
	bool		own = false;
	List	   *types = NIL;
	ListCell   *lc;

	foreach(lc, groups)
	{
		OpFamilyOpFuncGroup *group = (OpFamilyOpFuncGroup *) lfirst(lc);

		if (group->lefttype == opcintype && group->righttype == opcintype)
			own = true;
		types = list_append_unique_oid(types, group->lefttype);
		types = list_append_unique_oid(types, group->righttype);

		if ((group->operatorset & RMI_ALL_STRATEGIES) != RMI_ALL_STRATEGIES)
		{
			complain("operator family \"%s\" of access method %s is missing operator(s) for types %s and %s",
					 family, "kyro_rmi",
					 format_type_be(group->lefttype), format_type_be(group->righttype));
			ok = false;
		}
		if ((group->functionset & (UINT64CONST(1) << RMI_CMP_PROC)) == 0)
		{
			complain("operator family \"%s\" of access method %s is missing support function for types %s and %s",
					 family, "kyro_rmi",
					 format_type_be(group->lefttype), format_type_be(group->righttype));
			ok = false;
		}
	}

	foreach(lc, types)
	{
		if (!key_type_supported(lfirst_oid(lc)))
		{
			complain("operator family \"%s\" of access method %s contains unsupported data type %s",
					 family, "kyro_rmi", format_type_be(lfirst_oid(lc)));
			ok = false;
		}
	}
	if (!own)
	{
		complain("operator class \"%s\" of access method %s is missing operator(s)",
				 opclass, "kyro_rmi");
		ok = false;
	}
	if (list_length(groups) != list_length(types) * list_length(types))
	{
		complain("operator family \"%s\" of access method %s is missing cross-type operator(s)",
				 family, "kyro_rmi");
		ok = false;
	}
	return ok;
}

/*
 * amvalidate: reports each problem as INFO, returns whether there was none.
 * Looks at the whole family each time, as other access methods do.
 */
bool
rmi_validate(Oid opclassoid)
{
	HeapTuple	classtup,
				familytup;
	Form_pg_opclass class;
	Form_pg_opfamily family;
	CatCList   *functions,
			   *operators;
	bool		ok = true;

	classtup = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclassoid));
	if (!HeapTupleIsValid(classtup))
		elog(ERROR, "cache lookup failed for operator class %u", opclassoid);
	class = (Form_pg_opclass) GETSTRUCT(classtup);

	familytup = SearchSysCache1(OPFAMILYOID, ObjectIdGetDatum(class->opcfamily));
	if (!HeapTupleIsValid(familytup))
		elog(ERROR, "cache lookup failed for operator family %u", class->opcfamily);
	family = (Form_pg_opfamily) GETSTRUCT(familytup);

	operators = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(class->opcfamily));
	functions = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(class->opcfamily));

	if (!key_type_supported(class->opcintype))
	{
		complain("operator class \"%s\" of access method %s is for unsupported data type %s",
				 NameStr(class->opcname), "kyro_rmi", format_type_be(class->opcintype));
		ok = false;
	}
	if (OidIsValid(class->opckeytype) && class->opckeytype != class->opcintype)
	{
		complain("operator class \"%s\" of access method %s stores a type other than its own",
				 NameStr(class->opcname), "kyro_rmi");
		ok = false;
	}
	if (!check_functions(functions, NameStr(family->opfname)))
		ok = false;
	if (!check_operators(operators, NameStr(family->opfname)))
		ok = false;
	if (!check_pairs(identify_opfamily_groups(operators, functions),
					 NameStr(family->opfname), NameStr(class->opcname), class->opcintype))
		ok = false;

	ReleaseCatCacheList(functions);
	ReleaseCatCacheList(operators);
	ReleaseSysCache(familytup);
	ReleaseSysCache(classtup);
	return ok;
}
