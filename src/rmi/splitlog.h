/*-------------------------------------------------------------------------
 *
 * splitlog.h
 *	  Pages of the split log.
 *
 * The split log lists leaves made since the directory was trained, in the
 * order they were made.  It holds hints: a lost or damaged entry costs a
 * longer walk, never an answer.
 *
 * IDENTIFICATION
 *	  src/rmi/splitlog.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_RMI_SPLITLOG_H
#define KYRO_RMI_SPLITLOG_H

#include "rmi/chain.h"

/* At PageGetContents() of a log page; items follow, pd_lower behind them. */
typedef struct RmiLogHeader
{
	uint64		generation;		/* of the directory it adds to */
	uint32		count;
	BlockNumber next;
} RmiLogHeader;

#define RMI_LOG_FANOUT \
	((int) ((KYRO_PAGE_END - MAXALIGN(SizeOfPageHeaderData) - sizeof(RmiLogHeader)) / sizeof(RmiDirItem)))

static inline RmiLogHeader *
rmi_log_page_header(Page page)
{
	return (RmiLogHeader *) PageGetContents(page);
}

static inline RmiDirItem *
rmi_log_page_items(Page page)
{
	return (RmiDirItem *) (PageGetContents(page) + sizeof(RmiLogHeader));
}

/* Entries on the page, whatever its bytes say. */
static inline uint32
rmi_log_page_count(Page page)
{
	return Min(rmi_log_page_header(page)->count, (uint32) RMI_LOG_FANOUT);
}

static inline void
rmi_log_page_set_count(Page page, uint32 count)
{
	rmi_log_page_header(page)->count = count;
	((PageHeader) page)->pd_lower = (char *) (rmi_log_page_items(page) + count) - (char *) page;
}

static inline void
rmi_log_page_init(Page page, uint32 index_id, BlockNumber block, uint64 generation)
{
	rmi_page_init(page, index_id, block, RMI_PAGE_LOG);
	rmi_log_page_header(page)->generation = generation;
	rmi_log_page_header(page)->next = InvalidBlockNumber;
	rmi_log_page_set_count(page, 0);
}

/* The caller has checked that there is room. */
static inline void
rmi_log_page_add(Page page, const RmiDirItem *item)
{
	uint32		n = rmi_log_page_count(page);

	Assert(n < (uint32) RMI_LOG_FANOUT);
	rmi_log_page_items(page)[n] = *item;
	rmi_log_page_set_count(page, n + 1);
}

/* A new log page with n <= RMI_LOG_FANOUT items; under the rebuild lock.  See splitlog.c. */
extern BlockNumber rmi_log_put(Relation index, const RmiMetaData *meta, uint64 generation, BlockNumber next,
							   const RmiDirItem *items, uint32 n);

/* Append the entries of the split log from number 'from' on to list. */
extern void rmi_log_read(Relation index, const RmiMetaData *meta, uint32 from, RmiFenceList *list);

/*
 * Note new leaves; a hint, so what is damaged is begun anew.  No locks may be held.
 * True if the log is now so long that it should be folded.
 */
extern bool rmi_log_append(Relation index, const RmiDirItem *items, int n);

#endif							/* KYRO_RMI_SPLITLOG_H */
