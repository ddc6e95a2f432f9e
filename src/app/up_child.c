/*
 * Owns the children of `up`.
 *
 *   NONE -> RUNNING -> ENDED (by itself; what it left behind is cleared away) -> WAITING -> RUNNING
 *                   -> FAILED (it was never ready: the start as a whole fails)
 *                   -> NONE (told to)
 *
 * We are a subreaper: a worker or backend whose parent was killed becomes our child, so that nothing escapes.
 */
#include "app/up_int.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LINGER_MS = 300, BACKOFF_FIRST_MS = 100, BACKOFF_MAX_MS = 5000, YOUNG_MS = 10000, AGAIN_MS = 500 };

static volatile sig_atomic_t stop_signals;
static volatile int64_t first_stop_ms; /* written and read in the handler alone */

/* The second one means "now": but a signal to us and to our group, or Ctrl-C that make passes on, is only one. */
static void on_stop(int signo)
{
	if (stop_signals == 0)
		first_stop_ms = up_now_ms();
	if (stop_signals == 0 || up_now_ms() - first_stop_ms > AGAIN_MS)
		stop_signals++;
}

static void on_child(int signo)
{
	/* only ends the wait in up_pump */
}

void up_signals(void)
{
	struct sigaction stop = {.sa_handler = on_stop}, child = {.sa_handler = on_child};
	sigset_t ours;

	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGHUP);
	sigaddset(&ours, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ours, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGHUP, &stop, NULL);
	sigaction(SIGCHLD, &child, NULL);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

bool up_stop_wanted(void)
{
	return stop_signals > 0;
}

int up_stop_signals(void)
{
	return stop_signals;
}

int64_t up_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

bool up_say(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("boxoffice: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return false;
}

void up_tell(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

/* ---- starting ---- */

static int open_log(const struct up *up, const char *name)
{
	char path[PATH_MAX + 64];

	up_path(path, sizeof(path), "%s/log/%s.log", up->dir, name);
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* In the child: what must not be inherited is given up. Never returns when there is argv. */
static void become(int log, uid_t uid, gid_t gid, int parent_death, pid_t parent, const char *cwd)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	sigset_t none;

	setsid(); /* Ctrl-C and a closing terminal reach us alone */
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
		_exit(126);
	/* another user may not be able to stay where we are */
	if (!cwd && uid != geteuid())
		cwd = "/";
	if (cwd && chdir(cwd) != 0) {
		dprintf(2, "cannot enter %s: %s\n", cwd, strerror(errno));
		_exit(126);
	}
	if (uid != geteuid() && (setgroups(1, &gid) != 0 || setgid(gid) != 0 || setuid(uid) != 0)) {
		dprintf(2, "cannot become user %d: %s\n", (int)uid, strerror(errno));
		_exit(126);
	}
	/* after setuid, which forgets it */
	prctl(PR_SET_PDEATHSIG, parent_death);
	if (getppid() != parent)
		_exit(126);
}

void child_spawn(struct up *up, struct child *c, char **argv, uid_t uid, gid_t gid, int parent_death, const char *cwd,
		 int (*body)(struct up *up))
{
	pid_t parent = getpid(), pid;
	int log = open_log(up, c->name);

	fflush(NULL);
	pid = log < 0 ? -1 : fork();
	if (pid == 0) {
		int status;

		become(log, uid, gid, parent_death, parent, cwd);
		if (!body) {
			umask(077);
			execv(argv[0], argv);
			dprintf(2, "cannot run %s: %s\n", argv[0], strerror(errno));
			_exit(127);
		}
		status = body(up);
		fflush(NULL);
		_exit(status);
	}
	if (log >= 0)
		close(log);
	c->started_ms = up_now_ms();
	if (pid < 0) {
		up_say("cannot start %s: %s", c->name, strerror(errno));
		c->state = c->known ? CHILD_WAITING : CHILD_FAILED;
		c->start_at_ms = up_now_ms() + BACKOFF_MAX_MS;
		return;
	}
	c->pid = pid;
	c->state = CHILD_RUNNING;
}

const char *child_how(const struct child *c, char out[32])
{
	if (WIFSIGNALED(c->status))
		snprintf(out, 32, "signal %d", WTERMSIG(c->status));
	else
		snprintf(out, 32, "status %d", WEXITSTATUS(c->status));
	return out;
}

void child_last_words(struct up *up, const char *name, char *out, size_t size)
{
	char path[PATH_MAX + 64], tail[2048];
	FILE *f;
	size_t n;
	char *line = tail;

	out[0] = '\0';
	up_path(path, sizeof(path), "%s/log/%s.log", up->dir, name);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fseek(f, -(long)(sizeof(tail) - 1), SEEK_END) != 0)
		rewind(f);
	n = fread(tail, 1, sizeof(tail) - 1, f);
	fclose(f);
	while (n && (tail[n - 1] == '\n' || tail[n - 1] == ' '))
		n--;
	tail[n] = '\0';
	for (char *p = tail; *p; p++)
		if (*p == '\n')
			line = p + 1;
	snprintf(out, size, "%s", line);
}

/* ---- watching ---- */

/* Does anybody of its session still live? Backends of PostgreSQL have sessions of their own. */
static bool left_behind(const struct up *up, const struct child *c, int signo)
{
	if (c == &up->children[CHILD_POSTGRES])
		return up_pg_leftovers(up, signo) > 0;
	return c->pid > 0 && kill(-c->pid, signo) == 0;
}

static void ended(struct up *up, struct child *c, int status)
{
	char how[32];

	c->status = status;
	c->ended_ms = up_now_ms();
	if (c->once || up->stopping) {
		c->state = CHILD_NONE;
		return;
	}
	if (!c->known) {
		c->state = CHILD_FAILED;
		return;
	}
	c->state = CHILD_ENDED;
	c->backoff_ms = c->ended_ms - c->started_ms > YOUNG_MS ? 0
			: c->backoff_ms			       ? c->backoff_ms * 2
							       : BACKOFF_FIRST_MS;
	if (c->backoff_ms > BACKOFF_MAX_MS)
		c->backoff_ms = BACKOFF_MAX_MS;
	up_say("%s ended (%s); restarted", c->name, child_how(c, how));
}

static void reap(struct up *up)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < CHILD_COUNT; i++)
			if (up->children[i].pid == pid && up->children[i].state == CHILD_RUNNING)
				ended(up, &up->children[i], status);
}

static void revive(struct up *up, struct child *c)
{
	int64_t now = up_now_ms();

	if (c->state == CHILD_ENDED) {
		/* who is orphaned gets a moment to end as it should */
		if (!left_behind(up, c, now - c->ended_ms > LINGER_MS ? SIGKILL : 0)) {
			c->state = CHILD_WAITING;
			c->pid = 0;
			c->start_at_ms = c->ended_ms + c->backoff_ms;
		}
	}
	if (c->state == CHILD_WAITING && now >= c->start_at_ms)
		c->start(up, c);
}

void up_pump(struct up *up, int ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000L};
	sigset_t none;
	bool busy = false;

	reap(up);
	for (int i = 0; i < CHILD_COUNT && !up->stopping; i++) {
		revive(up, &up->children[i]);
		busy = busy || up->children[i].state == CHILD_ENDED || up->children[i].state == CHILD_WAITING;
	}
	if (busy && ms > 20)
		ts = (struct timespec){0, 20 * 1000000L};
	sigemptyset(&none);
	/* signals are blocked everywhere else, so that none is missed */
	ppoll(NULL, 0, &ts, &none);
	reap(up);
}

int child_run_step(struct up *up, const char *name, char **argv, uid_t uid, gid_t gid, int (*body)(struct up *up))
{
	struct child *c = &up->children[CHILD_STEP];

	*c = (struct child){.name = name, .once = true};
	child_spawn(up, c, argv, uid, gid, SIGKILL, NULL, body);
	while (c->state == CHILD_RUNNING && !up_stop_wanted())
		up_pump(up, 200);
	if (c->state == CHILD_RUNNING)
		child_stop(up, c, SIGTERM, up_now_ms() + 500);
	if (up_stop_wanted() || c->state == CHILD_FAILED || !WIFEXITED(c->status))
		return -1;
	return WEXITSTATUS(c->status);
}

void child_stop(struct up *up, struct child *c, int signo, int64_t by_ms)
{
	bool stopping = up->stopping;
	bool was = c->pid > 0;

	up->stopping = true; /* its end is wanted */
	if (c->state == CHILD_RUNNING && kill(c->pid, signo) == 0)
		while (c->state == CHILD_RUNNING && up_now_ms() < by_ms && up_stop_signals() < 2)
			up_pump(up, 10);
	if (c->state == CHILD_RUNNING) {
		c->unclean = true;
		kill(c->pid, SIGKILL);
		while (c->state == CHILD_RUNNING)
			up_pump(up, 10);
	}
	for (int i = 0; was && i < 100 && left_behind(up, c, SIGKILL); i++)
		up_pump(up, 10);
	c->state = CHILD_NONE;
	c->pid = 0;
	up->stopping = stopping;
}
