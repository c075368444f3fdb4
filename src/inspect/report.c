/*-------------------------------------------------------------------------
 *
 * report.c
 *	  What kyro.verify() returns.
 *
 * IDENTIFICATION
 *	  src/inspect/report.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "inspect/report.h"

void
kyro_report(void *arg, BlockNumber block, const char *format,...)
{
	KyroReport *report = (KyroReport *) arg;
	StringInfoData s;
	Datum		values[2];
	bool		nulls[2] = {false};

	initStringInfo(&s);
	if (report->partition != NULL)
		appendStringInfo(&s, "partition \"%s\": ", report->partition);
	for (;;)
	{
		va_list		args;
		int			need;

		va_start(args, format);
		need = appendStringInfoVA(&s, format, args);
		va_end(args);
		if (need == 0)
			break;
		enlargeStringInfo(&s, need);
	}
	values[0] = Int64GetDatum(block);
	nulls[0] = block == InvalidBlockNumber;
	values[1] = CStringGetTextDatum(s.data);
	tuplestore_putvalues(report->rsinfo->setResult, report->rsinfo->setDesc, values, nulls);
	pfree(s.data);
}
