/*
 * The private PostgreSQL of `up`. Its data is made in data.new and renamed, so that data is always whole: an initdb that
 * was interrupted is simply done again. Settings are given on its command line: the data folder keeps initdb's.
 *
 * PostgreSQL refuses to run as root: then it runs as the user postgres, and its files have to be where that user can come.
 */
#include "app/up_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OLD_ONE_MS = 5000 };

static const char debian[] = "/usr/lib/postgresql";

/* The major version a data folder was made by; false when there is none. */
static bool data_version(const struct up *up, char out[16])
{
	char path[PATH_MAX + 32], *text;

	up_path(path, sizeof(path), "%s/data/PG_VERSION", up->pg_home);
	text = up_file_read(path, 15);
	if (!text)
		return false;
	text[strcspn(text, "\n")] = '\0';
	snprintf(out, 16, "%s", text);
	free(text);
	return true;
}

/* The newest one that Debian installed, or exactly the wanted version. */
static bool find_debian(const char *wanted, char *out, size_t size)
{
	DIR *d = opendir(debian);
	struct dirent *e;
	long best = 0;

	while (d && (e = readdir(d))) {
		char path[PATH_MAX + 64];
		char *end;
		long v = strtol(e->d_name, &end, 10);

		up_path(path, sizeof(path), "%s/%s/bin/initdb", debian, e->d_name);
		if (*end || v <= best || (wanted && strcmp(wanted, e->d_name) != 0) || access(path, X_OK) != 0)
			continue;
		best = v;
		up_path(out, size, "%s/%s/bin", debian, e->d_name);
	}
	if (d)
		closedir(d);
	return best > 0;
}

/* A folder of PATH that has it. */
static bool find_in_path(const char *program, char *out, size_t size)
{
	const char *path = getenv("PATH");
	struct str rest = str_from(path ? path : "/usr/local/bin:/usr/bin:/bin"), one;

	while (rest.n) {
		char file[PATH_MAX + 64], real[PATH_MAX];

		rest = str_split(rest, ':', &one);
		if (one.n == 0 || one.n >= PATH_MAX - 1)
			continue;
		up_path(file, sizeof(file), "%.*s/%s", STR_FMT(one), program);
		/* initdb looks for its own folder's postgres */
		if (access(file, X_OK) == 0 && realpath(file, real)) {
			*strrchr(real, '/') = '\0';
			up_path(out, size, "%s", real);
			return true;
		}
	}
	return false;
}

static bool can_enter(const char *path, uid_t uid, gid_t gid)
{
	int status = 1;
	pid_t pid = fork();

	if (pid == 0) {
		if (setgroups(1, &gid) != 0 || setgid(gid) != 0 || setuid(uid) != 0)
			_exit(1);
		_exit(access(path, X_OK) == 0 ? 0 : 1);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Where its files are: DIR/postgresql, or what that points to. */
static bool find_home(struct up *up)
{
	char link[PATH_MAX + 16];
	struct stat st;
	ssize_t n;

	up_path(link, sizeof(link), "%s/postgresql", up->dir);
	if (lstat(link, &st) == 0 && S_ISLNK(st.st_mode)) {
		n = readlink(link, up->pg_home, sizeof(up->pg_home) - 1);
		up->pg_home[n > 0 ? n : 0] = '\0';
		if (n <= 0 || up->pg_home[0] != '/' || stat(up->pg_home, &st) != 0 || !S_ISDIR(st.st_mode))
			return up_say("%s points to a folder that is gone (%s): the data was there; put it back, or "
				      "remove %s to begin anew",
				      link, up->pg_home, up->dir);
		return true;
	}
	up_path(up->pg_home, sizeof(up->pg_home), "%s", link);
	if (geteuid() != 0 || can_enter(up->dir, up->pg_uid, up->pg_gid)) {
		if (mkdir(up->pg_home, 0700) != 0 && errno != EEXIST)
			return up_say("cannot make the folder %s: %s", up->pg_home, strerror(errno));
	} else {
		if (lstat(link, &st) == 0)
			return up_say("user postgres, which runs PostgreSQL when root starts it, cannot enter %s any "
				      "more: give others the "
				      "right to pass (chmod o+x) through it and the folders above",
				      up->dir);
		up_path(up->pg_home, sizeof(up->pg_home), "/var/lib/boxoffice-XXXXXX");
		if (!mkdtemp(up->pg_home) || symlink(up->pg_home, link) != 0)
			return up_say("user postgres, which runs PostgreSQL when root starts it, cannot enter %s, and "
				      "no folder can be made in "
				      "/var/lib: %s; choose another --dir",
				      up->dir, strerror(errno));
		up_tell("  PostgreSQL runs as user postgres, which cannot enter %s: its files are in %s", up->dir,
			up->pg_home);
	}
	if (geteuid() == 0 && chown(up->pg_home, up->pg_uid, up->pg_gid) != 0)
		return up_say("cannot give %s to user postgres: %s", up->pg_home, strerror(errno));
	return true;
}

bool up_pg_find(struct up *up)
{
	char wanted[16] = "";

	up->pg_uid = geteuid();
	up->pg_gid = getegid();
	if (!find_debian(NULL, up->pg_bin, sizeof(up->pg_bin)) &&
	    !find_in_path("initdb", up->pg_bin, sizeof(up->pg_bin)))
		return up_say("PostgreSQL is not installed: apt-get install postgresql");
	if (up->pg_uid == 0) {
		const struct passwd *who = getpwnam("postgres");

		if (!who)
			return up_say("PostgreSQL does not run as root and there is no user postgres: apt-get install "
				      "postgresql");
		up->pg_uid = who->pw_uid;
		up->pg_gid = who->pw_gid;
	}
	if (!find_home(up))
		return false;
	if (data_version(up, wanted) && !find_debian(wanted, up->pg_bin, sizeof(up->pg_bin)) &&
	    !find_in_path("initdb", up->pg_bin, sizeof(up->pg_bin)))
		return up_say("%s was made by PostgreSQL %s, which is not installed: apt-get install postgresql-%s",
			      up->pg_home, wanted, wanted);
	return true;
}

/* ---- what an earlier one left ---- */

int up_pg_leftovers(const struct up *up, int signo)
{
	char path[PATH_MAX + 32];
	struct stat data, cwd;
	struct dirent *e;
	DIR *d;
	int n = 0;

	up_path(path, sizeof(path), "%s/data", up->pg_home);
	if (stat(path, &data) != 0 || !(d = opendir("/proc")))
		return 0;
	while ((e = readdir(d))) {
		char *end;
		long pid = strtol(e->d_name, &end, 10);

		if (*end || pid <= 1 ||
		    (up->children[CHILD_POSTGRES].state == CHILD_RUNNING && pid == up->children[CHILD_POSTGRES].pid))
			continue;
		/* each of its processes stands in the data folder, and nobody else does */
		up_path(path, sizeof(path), "/proc/%ld/cwd", pid);
		if (stat(path, &cwd) != 0 || cwd.st_ino != data.st_ino || cwd.st_dev != data.st_dev)
			continue;
		up_path(path, sizeof(path), "/proc/%ld/comm", pid);
		char *comm = up_file_read(path, 32);
		bool is = comm && strcmp(comm, "postgres\n") == 0;

		free(comm);
		if (!is)
			continue;
		n++;
		if (signo)
			kill((pid_t)pid, signo);
	}
	closedir(d);
	return n;
}

/* The server of an `up` that was killed is told so by the kernel and ends by itself; without a server, its backends too. */
static bool wait_for_old_one(struct up *up)
{
	char path[PATH_MAX + 32], *text;
	int64_t until = up_now_ms() + OLD_ONE_MS;
	long pid;

	while (up_pg_leftovers(up, 0) > 0 && up_now_ms() < until && !up_stop_wanted())
		up_pump(up, 20);
	if (up_pg_leftovers(up, 0) == 0)
		return true;
	up_path(path, sizeof(path), "%s/data/postmaster.pid", up->pg_home);
	text = up_file_read(path, 200);
	pid = text ? strtol(text, NULL, 10) : 0;
	free(text);
	if (pid > 1 && kill((pid_t)pid, 0) == 0)
		return up_say("a PostgreSQL (process %ld) runs on %s already; end it first", pid, up->pg_home);
	while (up_pg_leftovers(up, SIGKILL) > 0 && !up_stop_wanted())
		up_pump(up, 20);
	return true;
}

/* ---- making, starting ---- */

static bool sync_files(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && syncfs(fd) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

bool up_pg_make(struct up *up)
{
	char data[PATH_MAX + 32], fresh[PATH_MAX + 32], program[PATH_MAX + 32], control[PATH_MAX + 64], words[512];
	char *argv[] = {program,
			up_arg("-D"),
			fresh,
			up_arg("-U"),
			up_arg("boxoffice"),
			up_arg("--auth=trust"),
			up_arg("--encoding=UTF8"),
			up_arg("--locale=C.UTF-8"),
			up_arg("--no-sync"),
			up_arg("--no-instructions"),
			NULL};
	struct stat st;
	int status;

	up_path(data, sizeof(data), "%s/data", up->pg_home);
	up_path(fresh, sizeof(fresh), "%s/data.new", up->pg_home);
	up_path(control, sizeof(control), "%s/data/global/pg_control", up->pg_home);
	up_path(program, sizeof(program), "%s/initdb", up->pg_bin);
	if (stat(data, &st) == 0) {
		char aside[PATH_MAX + 32];

		if (stat(control, &st) == 0)
			return wait_for_old_one(up);
		/* `up` never leaves one like this, so it may be the rest of something dear: nothing of it is removed */
		up_path(aside, sizeof(aside), "%s/data.broken", up->pg_home);
		if (stat(aside, &st) == 0)
			return up_say("the database in %s is not whole, and an earlier one lies beside it: remove one",
				      data);
		if (rename(data, aside) != 0)
			return up_say("cannot rename %s: %s", data, strerror(errno));
		up_tell("  the database in %s is not whole: it is kept as data.broken, and made anew", up->pg_home);
	}
	if (stat(fresh, &st) == 0) {
		up_tell("  the last start was interrupted while the database was made: it is made anew");
		if (!up_remove_tree(fresh))
			return up_say("cannot remove %s: %s", fresh, strerror(errno));
	}
	status = child_run_step(up, "initdb", argv, up->pg_uid, up->pg_gid, NULL);
	if (up_stop_wanted())
		return false;
	if (status != 0) {
		child_last_words(up, "initdb", words, sizeof(words));
		return up_say("the database could not be made: %s (%s/log/initdb.log)", words, up->dir);
	}
	/* a thousand small files: one syncfs instead of initdb's thousand fsyncs, several seconds on a busy disk */
	if (!sync_files(fresh) || rename(fresh, data) != 0)
		return up_say("cannot keep %s: %s", fresh, strerror(errno));
	status = open(up->pg_home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (status >= 0) {
		fsync(status);
		close(status);
	}
	return true;
}

void up_pg_start(struct up *up, struct child *c)
{
	char program[PATH_MAX + 32], data[PATH_MAX + 32], sockets[2 * PATH_MAX + 64], connections[64],
		stale[PATH_MAX + 64];
	char path[PATH_MAX + 8];
	int64_t workers = up->config.workers ? up->config.workers : sysconf(_SC_NPROCESSORS_ONLN);
	int64_t each = up->config.pg_shared + up->config.pg_exclusive + 4, wanted = (workers + 1) * each + 40;
	char *settings[] = {sockets,
			    connections,
			    up_arg("listen_addresses="),
			    up_arg("unix_socket_permissions=0700"),
			    up_arg("shared_buffers=128MB"),
			    up_arg("fsync=on"),
			    up_arg("synchronous_commit=on"),
			    up_arg("full_page_writes=on"),
			    up_arg("recovery_init_sync_method=syncfs"),
			    up_arg("jit=off"),
			    up_arg("random_page_cost=1.1"),
			    up_arg("max_wal_size=1GB"),
			    up_arg("logging_collector=off"),
			    up_arg("log_destination=stderr"),
			    up_arg("log_min_messages=warning"),
			    up_arg("log_line_prefix=%m [%p] %a "),
			    up_arg("log_timezone=UTC"),
			    up_arg("timezone=UTC"),
			    up_arg("cluster_name=boxoffice")};
	char *argv[8 + 2 * sizeof(settings) / sizeof(settings[0])];
	size_t n = 0, at;

	up_path(program, sizeof(program), "%s/postgres", up->pg_bin);
	up_path(data, sizeof(data), "%s/data", up->pg_home);
	/* a list, so quoted */
	at = (size_t)snprintf(sockets, sizeof(sockets), "unix_socket_directories=\"");
	up_path(path, sizeof(path), "%s/pg", up->run);
	for (const char *p = path; *p; p++) {
		if (*p == '"')
			sockets[at++] = '"';
		sockets[at++] = *p;
	}
	sockets[at++] = '"';
	sockets[at] = '\0';
	snprintf(connections, sizeof(connections), "max_connections=%lld", (long long)(wanted < 100 ? 100 : wanted));
	argv[n++] = program;
	argv[n++] = up_arg("-D");
	argv[n++] = data;
	argv[n++] = up_arg("-p");
	argv[n++] = up_arg("5432");
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		argv[n++] = up_arg("-c");
		argv[n++] = settings[i];
	}
	argv[n] = NULL;
	/* Nobody runs on this data (that was seen to), so the file of one that was killed means nothing; its process id may
	 * belong to somebody else by now, and PostgreSQL would refuse because of that. */
	up_path(stale, sizeof(stale), "%s/data/postmaster.pid", up->pg_home);
	unlink(stale);
	child_spawn(up, c, argv, up->pg_uid, up->pg_gid, SIGINT, data, NULL);
}

bool up_pg_answers(struct up *up)
{
	char url[3 * PATH_MAX];
	char *database;

	/* the database itself may not be there yet */
	up_path(url, sizeof(url), "%s", up->database_url);
	database = strstr(url, "///boxoffice?");
	memmove(database + 3 + 8, database + 3 + 9, strlen(database + 3 + 9) + 1);
	memcpy(database + 3, "postgres", 8);
	return PQping(url) == PQPING_OK;
}
