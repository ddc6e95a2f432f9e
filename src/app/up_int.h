/*
 * `boxoffice up`, the supervisor of everything on one machine, in parts:
 *
 *   up.c          the options, the order of starting and stopping
 *   up_child.c    a child process: started, watched, started again, ended
 *   up_files.c    DIR and what stands in it
 *   up_pg.c       the private PostgreSQL
 *   up_kafka.c    the Kafka of --kafka
 *   up_parts.c    Redis, the payment simulator, serve, work
 *   up_prepare.c  roles, schema, the organiser and its token
 *
 * One process, one thread, no event loop: it waits in up_pump, where children are reaped and started again.
 */
#ifndef APP_UP_INT_H
#define APP_UP_INT_H

#include "app/config.h"
#include "auth/auth.h"

#include <jansson.h>
#include <limits.h>
#include <sys/types.h>

enum { UP_SOCKET_MAX = 107, UP_ARGS_MAX = 96 };

enum child_state {
	CHILD_NONE, /* never started, or ended for good */
	CHILD_RUNNING,
	CHILD_ENDED,   /* died; what it left is being cleared away */
	CHILD_WAITING, /* until start_at_ms */
	CHILD_FAILED,  /* ended before it was ready the first time */
};

struct up;

struct child {
	const char *name;
	enum child_state state;
	pid_t pid;
	int64_t started_ms, start_at_ms, ended_ms;
	int backoff_ms, status;
	bool once;  /* a step: its end is expected */
	bool known; /* was ready once: from then on it is started again when it dies */
	bool unclean;
	void (*start)(struct up *up, struct child *c);
};

enum { CHILD_POSTGRES, CHILD_REDIS, CHILD_KAFKA, CHILD_PAYSIM, CHILD_SERVE, CHILD_WORK, CHILD_STEP, CHILD_COUNT };

struct up {
	struct config config;
	char **passed; /* settings given to up, for serve and work */
	int n_passed;
	bool demo, kafka;

	char dir[PATH_MAX]; /* absolute */
	char run[PATH_MAX]; /* sockets: DIR/run, or a short folder that is removed at the end */
	bool run_is_short;
	char own_exe[PATH_MAX], paysim_exe[PATH_MAX], redis_exe[PATH_MAX];
	char pg_bin[PATH_MAX];	/* folder */
	char pg_home[PATH_MAX]; /* holds data/ */
	char pg_version[16];
	uid_t pg_uid; /* who PostgreSQL runs as; our own unless we are root */
	gid_t pg_gid;
	int lock_fd;
	int port, paysim_port, kafka_port, kafka_controller_port;
	char java_exe[PATH_MAX], kafka_libs[PATH_MAX], kafka_brokers[32];
	char url[300], payment_url[64];
	char database_url[3 * PATH_MAX], app_database_url[3 * PATH_MAX], redis_url[3 * PATH_MAX];
	char token[AUTH_TOKEN_TEXT];

	struct child children[CHILD_COUNT];
	int64_t began_ms, stop_by_ms;
	bool stopping;
};

int64_t up_now_ms(void);
/* "boxoffice: ..." on standard error; returns false. */
bool up_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A line of progress on standard output. */
void up_tell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Literals for an argv, which exec never writes to. */
static inline char *up_arg(const char *literal)
{
	return (char *)(uintptr_t)literal;
}

/* ---- up_files.c ---- */

/* Snprintf that aborts when it does not fit: for paths whose length was checked. */
void up_path(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* DIR made, locked, its folders there. */
bool up_dir_open(struct up *up, const char *dir);
void up_dir_close(struct up *up);
/* After PostgreSQL's user is known: where the sockets are. */
bool up_run_open(struct up *up);
void up_run_close(struct up *up);
/* master.key, payment.key, webhook.key */
bool up_secrets(struct up *up);
/* Whole or not at all, on disk when this returns. */
bool up_file_write(const char *path, mode_t mode, const char *text);
/* At most max bytes; NULL when it is not there. The caller frees. */
char *up_file_read(const char *path, size_t max);
bool up_json_write(struct up *up);
void up_json_remove(struct up *up);
/* Removes a folder with all that is in it; not following links. */
bool up_remove_tree(const char *path);
/* For a URI's parameter. */
void up_percent(const char *in, char *out, size_t size);

/* ---- up_child.c ---- */

/* Makes a process of its own session whose output goes to DIR/log/NAME.log. as: uid and gid to become. parent_death: the
 * signal it gets when we die. body NULL: argv is executed. */
void child_spawn(struct up *up, struct child *c, char **argv, uid_t uid, gid_t gid, int parent_death, const char *cwd,
		 int (*body)(struct up *up));
/* The signals that stop us are noticed only in here. Reaps, starts again, returns after at most ms. */
void up_pump(struct up *up, int ms);
void up_signals(void);
bool up_stop_wanted(void);
int up_stop_signals(void);
/* Runs a step to its end: its exit status, -1 when a signal ended it or we are to stop. */
int child_run_step(struct up *up, const char *name, char **argv, uid_t uid, gid_t gid, int (*body)(struct up *up));
/* Tells it signo, waits until by_ms, then kills it and all that it left behind. */
void child_stop(struct up *up, struct child *c, int signo, int64_t by_ms);
/* The last line of its log: why it ended, mostly. */
void child_last_words(struct up *up, const char *name, char *out, size_t size);
/* "signal 9", "status 1" */
const char *child_how(const struct child *c, char out[32]);

/* ---- up_pg.c ---- */

bool up_pg_find(struct up *up);
bool up_pg_make(struct up *up);
void up_pg_start(struct up *up, struct child *c);
bool up_pg_answers(struct up *up);
/* Processes of a PostgreSQL on our data that is not our child's any more: told signo (0: only counted). */
int up_pg_leftovers(const struct up *up, int signo);

/* ---- up_parts.c ---- */

bool up_parts_find(struct up *up);
/* A program of that name; false when PATH has none. */
bool up_in_path(const char *program, char *out, size_t size);
bool up_ports(struct up *up);
void up_redis_start(struct up *up, struct child *c);
bool up_redis_answers(struct up *up);
void up_paysim_start(struct up *up, struct child *c);
bool up_paysim_answers(struct up *up);
void up_serve_start(struct up *up, struct child *c);
bool up_serve_answers(struct up *up);
void up_work_start(struct up *up, struct child *c);
/* Nobody said where mails go: they are files in DIR/mail. */
bool up_writes_mails(const struct up *up);

/* ---- up_kafka.c ---- */

bool up_kafka_find(struct up *up);
/* Its ports, its folder. Takes a second or two the first time. */
bool up_kafka_make(struct up *up);
void up_kafka_start(struct up *up, struct child *c);
bool up_kafka_answers(struct up *up);

/* ---- up_prepare.c, seed.c: run as a step, in a process of their own ---- */

int up_prepare(struct up *up);
int up_seed(struct up *up);

#endif
