/* See backup.h. */
#include "app/backup.h"

#include "app/admin_sql.h"
#include "app/migrate.h"
#include "base/xmalloc.h"
#include "io/crypto.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, LINE = 1000 };

static volatile sig_atomic_t got_signal;
static PGcancel *under_way; /* the process's one; a handler has no other way to it */

static void on_signal(int signo)
{
	int e = errno;
	char why[100];

	got_signal = signo;
	if (under_way)
		PQcancel(under_way, why, sizeof(why)); /* made for signal handlers */
	errno = e;
}

void backup_signals(PGconn *c)
{
	struct sigaction sa = {.sa_handler = on_signal}; /* no SA_RESTART: waiting ends */

	under_way = PQgetCancel(c);

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
}

bool backup_stopped(void)
{
	return got_signal != 0;
}

/* ---- where it is ---- */

void backup_tell(const char *fmt, ...)
{
	bool terminal = isatty(STDOUT_FILENO) == 1;
	va_list ap;

	if (terminal)
		printf("\r\033[K");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	if (!terminal)
		printf("\n");
	fflush(stdout);
}

void backup_told(void)
{
	if (isatty(STDOUT_FILENO) == 1)
		printf("\n");
	fflush(stdout);
}

/* ---- a file ---- */

bool backup_checksum(const char *path, int64_t *ret_bytes, char ret_hex[BACKUP_SHA256])
{
	FILE *f = fopen(path, "re");
	struct crypto_sha256 *sum;
	uint8_t digest[32];
	char *chunk;
	size_t n;
	bool ok;

	*ret_bytes = 0;
	if (!f) {
		fprintf(stderr, "boxoffice: cannot read %s: %s\n", path, strerror(errno));
		return false;
	}
	sum = crypto_sha256_new();
	chunk = xmalloc(CHUNK);
	while (!got_signal && (n = fread(chunk, 1, CHUNK, f)) > 0) {
		crypto_sha256_add(sum, (struct str){chunk, n});
		*ret_bytes += (int64_t)n;
	}
	ok = !ferror(f) && !got_signal;
	if (ferror(f))
		fprintf(stderr, "boxoffice: cannot read %s: %s\n", path, strerror(errno));
	free(chunk);
	fclose(f);
	crypto_sha256_end(sum, digest);
	hex_encode(digest, sizeof(digest), ret_hex);
	return ok;
}

/* ---- PostgreSQL's programs ---- */

/* Beside the newest server that Debian installed, else by PATH: Debian's own wrappers look for a cluster of this machine. */
static void find(const char *program, char out[BACKUP_PATH])
{
	static const char debian[] = "/usr/lib/postgresql";
	DIR *d = opendir(debian);
	struct dirent *e;
	long best = 0;

	snprintf(out, BACKUP_PATH, "%s", program);
	while (d && (e = readdir(d))) {
		char path[BACKUP_PATH], *end;
		long v = strtol(e->d_name, &end, 10);

		if (*end || v <= best || strlen(e->d_name) > 20)
			continue;
		snprintf(path, sizeof(path), "%s/%s/bin/%s", debian, e->d_name, program);
		if (access(path, X_OK) != 0)
			continue;
		best = v;
		memcpy(out, path, sizeof(path));
	}
	if (d)
		closedir(d);
}

/* The address as libpq's variables; false after a sentence. In the child. */
static bool address_into_environment(const char *url)
{
	char *error = NULL;
	PQconninfoOption *given = PQconninfoParse(url, &error);

	if (!given) {
		fprintf(stderr, "boxoffice: the database's address: %s", error ? error : "no memory\n");
		PQfreemem(error);
		return false;
	}
	for (PQconninfoOption *o = given; o->keyword; o++)
		if (o->val && o->envvar)
			setenv(o->envvar, o->val, 1);
	PQconninfoFree(given);
	setenv("PGAPPNAME", "boxoffice backup", 1);
	setenv("PGOPTIONS", "-c client_min_messages=warning -c lock_timeout=60s", 1);
	return true;
}

static pid_t start(const struct backup_run *r, int *ret_fd)
{
	char path[BACKUP_PATH];
	const char *argv[24];
	int fds[2], n = 0;
	pid_t pid;

	find(r->program, path);
	argv[n++] = path;
	while (r->args[n - 1] && n < 23) {
		argv[n] = r->args[n - 1];
		n++;
	}
	argv[n] = NULL;
	if (pipe(fds) != 0 || (pid = fork()) < 0) {
		fprintf(stderr, "boxoffice: cannot start %s: %s\n", r->program, strerror(errno));
		return -1;
	}
	if (pid == 0) {
		/* a Ctrl-C is for us, who tell it to end */
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
		signal(SIGHUP, SIG_DFL);
		if (dup2(fds[1], STDERR_FILENO) < 0 || !address_into_environment(r->url))
			_exit(127);
		close(fds[0]);
		close(fds[1]);
		execvp(path, (char *const *)(uintptr_t)argv);
		fprintf(stderr, "%s: %s (Debian package postgresql-client)\n", path, strerror(errno));
		_exit(127);
	}
	close(fds[1]);
	*ret_fd = fds[0];
	return pid;
}

bool backup_run(const struct backup_run *r)
{
	char line[LINE], last[LINE] = "";
	int fd, status = -1, seen = 0;
	bool told_to_end = false;
	FILE *said;
	pid_t pid = start(r, &fd);

	if (pid < 0)
		return false;
	said = fdopen(fd, "re");
	for (;;) {
		const char *name;

		if (got_signal && !told_to_end) {
			kill(pid, SIGTERM);
			told_to_end = true;
		}
		errno = 0;
		if (!fgets(line, sizeof(line), said)) {
			if (errno == EINTR && ferror(said)) {
				clearerr(said);
				continue;
			}
			break;
		}
		line[strcspn(line, "\n")] = '\0';
		name = strstr(line, r->mark);
		if (!name) {
			if (strstr(line, "error:") || strstr(line, "ERROR") || !last[0])
				memcpy(last, line, sizeof(line));
			continue;
		}
		name += strlen(r->mark);
		if (strchr(name, '.'))
			name = strchr(name, '.') + 1; /* without the schema */
		backup_tell("%s %.*s (%d of %d)", r->doing, (int)strcspn(name, "\""), name, ++seen, r->n);
	}
	fclose(said);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		if (got_signal)
			kill(pid, SIGTERM);
	if (seen)
		backup_told();
	if (got_signal)
		return false;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		fprintf(stderr, "boxoffice: %s failed: %s\n", r->program, last[0] ? last : "it said nothing");
		return false;
	}
	return true;
}

/* ---- the rows ---- */

json_t *backup_count(PGconn *c)
{
	PGresult *tables = pg_sync_ask(c, "tables", admin_sql_backup_tables.sql, 0, NULL);
	json_t *counts = json_object();

	for (int i = 0; tables && counts && i < PQntuples(tables); i++) {
		char sql[300],
			*quoted = PQescapeIdentifier(c, PQgetvalue(tables, i, 0), strlen(PQgetvalue(tables, i, 0)));
		PGresult *r;

		snprintf(sql, sizeof(sql), "SELECT count(*) FROM ONLY %.200s", quoted);
		PQfreemem(quoted);
		r = backup_stopped() ? NULL : pg_sync_ask(c, "counting", sql, 0, NULL);
		if (r)
			json_object_set_new(counts, PQgetvalue(tables, i, 0),
					    json_integer(strtoll(PQgetvalue(r, 0, 0), NULL, 10)));
		PQclear(r);
		if (!r) {
			json_decref(counts);
			counts = NULL;
		}
	}
	if (!tables) {
		json_decref(counts);
		counts = NULL;
	}
	PQclear(tables);
	return counts;
}
