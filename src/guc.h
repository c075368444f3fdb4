/*-------------------------------------------------------------------------
 *
 * guc.h
 *	  Settings.
 *
 * IDENTIFICATION
 *	  src/guc.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_GUC_H
#define KYRO_GUC_H

/* kyro.directory_cache: most a backend keeps of learned directories, in kB. */
extern int	kyro_directory_cache;

/* kyro.table_cache: most a backend keeps of kyro tables between transactions, in kB. */
extern int	kyro_table_cache;

/* kyro.mmap: read sealed pages through memory maps. */
extern bool kyro_mmap;

/* kyro.resource_manager: give indexes the own carrier where that works. */
extern bool kyro_resource_manager;

extern void kyro_guc_init(void);

#endif							/* KYRO_GUC_H */
