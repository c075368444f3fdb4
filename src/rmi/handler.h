/*-------------------------------------------------------------------------
 *
 * handler.h
 *	  Start-up of the kyro_rmi access method.
 *
 * IDENTIFICATION
 *	  src/rmi/handler.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef KYRO_RMI_HANDLER_H
#define KYRO_RMI_HANDLER_H

/* Registers the index options.  Once per backend, from _PG_init(). */
extern void rmi_handler_init(void);

#endif							/* KYRO_RMI_HANDLER_H */
