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

/* kyro.shared_directories: shared memory for such copies, in kB; fixed when the server starts. */
extern int	kyro_shared_directories;

/* kyro.table_cache: most a backend keeps of kyro tables between transactions, in kB. */
extern int	kyro_table_cache;

/* kyro.mmap: read sealed pages through memory maps. */
extern bool kyro_mmap;

/* kyro.sealed_load: bulk loads go straight into runs. */
typedef enum KyroSealedLoad
{
	KYRO_SEALED_LOAD_OFF,
	KYRO_SEALED_LOAD_AUTO
} KyroSealedLoad;
extern int	kyro_sealed_load;

/* kyro.resource_manager: give indexes the own carrier where that works. */
extern bool kyro_resource_manager;

/* kyro.constraint_index_method: the access method of indexes of new keys that do not ask for one. */
typedef enum KyroKeyMethod
{
	KYRO_KEYS_BTREE,
	KYRO_KEYS_KYRO_RMI
} KyroKeyMethod;
extern int	kyro_constraint_index_method;

/* The autopilot (src/worker): whether it works, seconds between its looks, and workers at most. */
extern bool kyro_autopilot;
extern int	kyro_autopilot_naptime;
extern int	kyro_max_workers;

/* kyro.log_min_duration: log what it does if that takes so many ms; -1: never. */
extern int	kyro_log_min_duration;

/* kyro.autowarm: what it reads into memory when the server has started, "database.schema.relation, ..." */
extern char *kyro_autowarm;

/* An index is retrained when so many pages, and that part of all, were split since. */
extern int	kyro_retrain_threshold;
extern double kyro_retrain_scale_factor;

/* ... or, if any were split, when so many searches, and that part of all since, have landed beside the right page. */
extern int	kyro_retrain_misses_threshold;
extern double kyro_retrain_misses_scale_factor;

/* Its workers sleep for so many ms whenever the cost of their pages, as VACUUM counts it, has come to the limit. */
extern int	kyro_cost_limit;
extern double kyro_cost_delay;

/*
 * The autopilot puts off what is due while more sessions than this are at work (0: never;
 * -1: twice the number of processors), for so many seconds at most.
 */
extern int	kyro_busy_sessions;
extern int	kyro_busy_patience;

/* kyro.sample_rate: the part of look-ups that are timed; kyro_sampling: it is above 0. */
extern double kyro_sample_rate;
extern bool kyro_sampling;

extern void kyro_guc_init(void);

#endif							/* KYRO_GUC_H */
