/* Inside `boxoffice admin`: what an action is given. A file of actions has its functions here; admin.c has the table. */
#ifndef APP_ADMIN_INT_H
#define APP_ADMIN_INT_H

#include "app/config.h"

#include <libpq-fe.h>

/* The options of all actions, by their place. */
enum {
	OPT_DIR,
	OPT_ORGANIZER,
	OPT_NAME,
	OPT_SCOPES,
	OPT_DAYS,
	OPT_EMAIL,
	OPT_BUYER,
	OPT_YES_FUTURE,
	OPT_ALL,
	OPT_HOW,
	OPT_BY,
	OPT_FINISH,
	OPT_REFUND_ORPHANS,
	OPT_EVENT,
	OPT_TO
};

struct asked {
	const struct config *config;
	const struct config_extra *options;
	const char *subject; /* NAME, TOKEN-ID, ... */
	const char *dir;
	const char *url; /* of the database */
	PGconn *pg;
};

/* 1 to 200 characters that may stand in a line. */
bool admin_name_is_good(const char *name);

/* Prints the rows of a statement, fields between tabs. */
int admin_list(const struct asked *a, const char *what, const char *sql);
/* "events,seats" or "all" as an array literal; false after a sentence. */
bool admin_scopes_read(const char *text, char *out, size_t size);

/* ---- admin_user.c: each returns the exit status ---- */

int admin_user_add(const struct asked *a);
int admin_user_list(const struct asked *a);
int admin_user_passwd(const struct asked *a);
int admin_user_disable(const struct asked *a);

/* ---- admin_payments.c: each returns the exit status ---- */

int admin_payments_list(const struct asked *a);
int admin_notifications_list(const struct asked *a);
int admin_notifications_retry(const struct asked *a);
int admin_payments_settle(const struct asked *a);
int admin_payments_retry(const struct asked *a);

/* ---- admin_consumers.c: each returns the exit status ---- */

int admin_consumers_list(const struct asked *a);
int admin_consumers_parked(const struct asked *a);
int admin_consumers_retry(const struct asked *a);
int admin_consumers_skip(const struct asked *a);
int admin_consumers_reset(const struct asked *a);

/* ---- admin_outbox.c: each returns the exit status ---- */

int admin_outbox_list(const struct asked *a);
int admin_outbox_retry(const struct asked *a);
int admin_outbox_skip(const struct asked *a);

/* ---- admin_backup.c, admin_restore.c, admin_reopen.c: each returns the exit status ---- */

int admin_backup(const struct asked *a);
int admin_restore(const struct asked *a);
int admin_restore_finish(const struct asked *a);
int admin_close_sales(const struct asked *a);
int admin_open_sales(const struct asked *a);

/* ---- admin_buyer.c: each returns the exit status ---- */

int admin_buyer_erase(const struct asked *a);
int admin_buyer_export(const struct asked *a);

#endif
