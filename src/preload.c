/*-------------------------------------------------------------------------
 *
 * preload.c
 *	  How was the library loaded?
 *
 * IDENTIFICATION
 *	  src/preload.c
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/varlena.h"

#include "preload.h"

#define LIBRARY_NAME	"kyrodb"

/* Does an entry of a library list, "$libdir/name.so" or part of it, mean us? */
static bool
names_us(const char *entry)
{
	const char *slash = last_dir_separator(entry);
	const char *name = slash ? slash + 1 : entry;
	size_t		len = strlen(name);
	size_t		suffix = strlen(DLSUFFIX);

	if (len > suffix && strcmp(name + len - suffix, DLSUFFIX) == 0)
		len -= suffix;
	return len == strlen(LIBRARY_NAME) && strncmp(name, LIBRARY_NAME, len) == 0;
}

/* Is the library in such a list?  The string may be NULL. */
static bool
list_names_us(const char *list)
{
	char	   *raw;
	List	   *entries;
	ListCell   *lc;
	bool		found = false;

	if (list == NULL || list[0] == '\0')
		return false;

	raw = pstrdup(list);
	if (SplitDirectoriesString(raw, ',', &entries))
	{
		foreach(lc, entries)
		{
			if (names_us((const char *) lfirst(lc)))
				found = true;
		}
	}
	list_free_deep(entries);
	pfree(raw);
	return found;
}

/*
 * The first list cannot change while the server runs.  The second can, by a
 * superuser's SET, but that counts as preloaded without harm: whoever asks us
 * has loaded the library.
 */
bool
kyro_preloaded(void)
{
	return list_names_us(shared_preload_libraries_string) ||
		list_names_us(session_preload_libraries_string);
}
