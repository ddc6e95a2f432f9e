/*
 * Owns DIR: its lock, its folders, its small files.
 *
 *   DIR/lock         held (flock) while an `up` runs; holds its process id
 *   DIR/postgresql/  the database; when we are root and user postgres cannot come here, a link to where it is instead
 *   DIR/run/         sockets; when the path is too long for one, a link to a short folder instead
 *   DIR/secret/      keys and the admin token, made once
 *   DIR/log/         what each child says
 *   DIR/paysim.db    the payment simulator's ledger
 *   DIR/kafka/       the broker, with --kafka (up_kafka.c)
 *   DIR/demo.json    what the demo made
 *   DIR/up.json      only while everything is ready
 */
#include "app/up_int.h"

#include "base/json.h"
#include "base/xmalloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_BYTES_MAX = 10 * 1024 * 1024 };

void up_path(char *out, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(out, size, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= size)
		abort();
}

void up_percent(const char *in, char *out, size_t size)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t n = 0;

	for (; *in && n + 4 < size; in++) {
		unsigned char c = (unsigned char)*in;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("/-._~", c)) {
			out[n++] = (char)c;
		} else {
			out[n++] = '%';
			out[n++] = digits[c >> 4];
			out[n++] = digits[c & 15];
		}
	}
	out[n] = '\0';
}

/* ---- small files ---- */

char *up_file_read(const char *path, size_t max)
{
	FILE *f = fopen(path, "re");
	char *text;
	size_t n;

	if (!f)
		return NULL;
	text = xmalloc(max + 1);
	n = fread(text, 1, max, f);
	fclose(f);
	text[n] = '\0';
	return text;
}

static void sync_folder_of(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int fd;

	up_path(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
}

bool up_file_write(const char *path, mode_t mode, const char *text)
{
	char temporary[PATH_MAX + 8];
	size_t n = strlen(text);
	int fd;
	bool ok;

	up_path(temporary, sizeof(temporary), "%s.new", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	ok = fd >= 0 && fchmod(fd, mode) == 0 && write(fd, text, n) == (ssize_t)n && fsync(fd) == 0;
	if (fd >= 0 && close(fd) != 0)
		ok = false;
	if (!ok || rename(temporary, path) != 0)
		return up_say("cannot write %s: %s", path, strerror(errno));
	sync_folder_of(path);
	return true;
}

bool up_remove_tree(const char *path)
{
	struct stat st;
	DIR *d;
	struct dirent *e;
	bool ok = true;

	if (lstat(path, &st) != 0)
		return errno == ENOENT;
	if (!S_ISDIR(st.st_mode))
		return unlink(path) == 0;
	d = opendir(path);
	if (!d)
		return false;
	while (ok && (e = readdir(d))) {
		char inner[PATH_MAX];

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (snprintf(inner, sizeof(inner), "%s/%s", path, e->d_name) >= (int)sizeof(inner))
			ok = false;
		else
			ok = up_remove_tree(inner);
	}
	closedir(d);
	return ok && rmdir(path) == 0;
}

/* ---- DIR ---- */

static bool folder(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return chmod(path, mode) == 0; /* whatever the umask says */
	if (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return true;
	return up_say("cannot make the folder %s: %s", path,
		      errno == EEXIST ? "a file is in its place" : strerror(errno));
}

/* Like mkdir -p: only the last one gets our mode. */
static bool folder_with_parents(char *path, mode_t mode)
{
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0755) != 0 && errno != EEXIST)
			return up_say("cannot make the folder %s: %s", path, strerror(errno));
		*p = '/';
	}
	return folder(path, mode);
}

static bool take_lock(struct up *up)
{
	char path[PATH_MAX + 8], text[32];
	struct stat held, there;

	up_path(path, sizeof(path), "%s/lock", up->dir);
	for (;;) {
		up->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
		if (up->lock_fd < 0)
			return up_say("cannot write in %s: %s", up->dir, strerror(errno));
		if (flock(up->lock_fd, LOCK_EX | LOCK_NB) != 0) {
			ssize_t n = read(up->lock_fd, text, sizeof(text) - 1);

			text[n > 0 ? n : 0] = '\0';
			text[strcspn(text, "\n")] = '\0';
			close(up->lock_fd);
			up->lock_fd = -1;
			return up_say(
				"another `boxoffice up` (process %s) runs on %s; stop it first or choose another --dir",
				text[0] ? text : "unknown", up->dir);
		}
		/* who ended just now has removed the file that we opened: then this lock is on nothing */
		if (fstat(up->lock_fd, &held) == 0 && stat(path, &there) == 0 && held.st_ino == there.st_ino)
			break;
		close(up->lock_fd);
	}
	snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(up->lock_fd, 0) != 0 || pwrite(up->lock_fd, text, strlen(text), 0) < 0)
		return up_say("cannot write %s: %s", path, strerror(errno));
	return true;
}

static void trim_log(const char *path)
{
	char old[PATH_MAX + 64];
	struct stat st;

	if (stat(path, &st) != 0 || st.st_size < LOG_BYTES_MAX)
		return;
	up_path(old, sizeof(old), "%s.1", path);
	rename(path, old);
}

bool up_dir_open(struct up *up, const char *dir)
{
	static const char *const logs[] = {"postgres", "redis", "paysim", "serve", "work",
					   "prepare",  "seed",	"initdb", "kafka", "kafka-format"};
	char cwd[PATH_MAX], path[PATH_MAX + 64];
	bool root = geteuid() == 0;
	size_t n;

	up->lock_fd = -1;
	if (dir[0] == '/')
		n = (size_t)snprintf(up->dir, sizeof(up->dir), "%s", dir);
	else if (getcwd(cwd, sizeof(cwd)))
		n = (size_t)snprintf(up->dir, sizeof(up->dir), "%s/%s", cwd, dir);
	else
		return up_say("the current folder is gone: %s", strerror(errno));
	if (n >= sizeof(up->dir) - 200 || dir[0] == '\0')
		return up_say("--dir needs the name of a folder, of at most %zu characters", sizeof(up->dir) - 200);
	while (n > 1 && up->dir[n - 1] == '/')
		up->dir[--n] = '\0';
	/* as root, PostgreSQL runs as somebody else, who has to pass through */
	if (!folder_with_parents(up->dir, root ? 0711 : 0700) || !take_lock(up))
		return false;
	up_path(path, sizeof(path), "%s/secret", up->dir);
	if (!folder(path, 0700))
		return false;
	up_path(path, sizeof(path), "%s/log", up->dir);
	if (!folder(path, 0700))
		return false;
	for (size_t i = 0; i < sizeof(logs) / sizeof(logs[0]); i++) {
		up_path(path, sizeof(path), "%s/log/%s.log", up->dir, logs[i]);
		trim_log(path);
	}
	return true;
}

void up_dir_close(struct up *up)
{
	char path[PATH_MAX + 8];

	if (up->lock_fd < 0)
		return;
	up_path(path, sizeof(path), "%s/lock", up->dir);
	unlink(path); /* while we still hold it: see take_lock */
	close(up->lock_fd);
	up->lock_fd = -1;
}

/* ---- sockets ---- */

/* A short folder of an `up` that was killed: ours, and nobody else's to have made. */
static void remove_old_run(const char *link)
{
	char target[PATH_MAX];
	struct stat st;
	ssize_t n = readlink(link, target, sizeof(target) - 1);

	if (n > 0) {
		target[n] = '\0';
		if (strstr(target, "/boxoffice-") && lstat(target, &st) == 0 && S_ISDIR(st.st_mode) &&
		    st.st_uid == geteuid())
			up_remove_tree(target);
	}
	unlink(link);
}

/* In an address of libpq a comma begins the next host; other signs are trouble for whoever pastes an address. */
static bool plain(const char *path)
{
	for (; *path; path++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-._~+@", *path))
			return false;
	return true;
}

bool up_run_open(struct up *up)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char link[PATH_MAX + 16], path[PATH_MAX + 16], encoded[2 * PATH_MAX];
	bool root = geteuid() == 0;
	struct stat st;

	up_path(link, sizeof(link), "%s/run", up->dir);
	if (lstat(link, &st) == 0 && S_ISLNK(st.st_mode))
		remove_old_run(link);
	/* PostgreSQL's is the longest: .../pg/.s.PGSQL.5432 and .lock behind it while it starts */
	if (plain(link) && strlen(link) + strlen("/pg/.s.PGSQL.5432") <= UP_SOCKET_MAX &&
	    strncmp(up->pg_home, up->dir, strlen(up->dir)) == 0) {
		up_path(up->run, sizeof(up->run), "%s", link);
		if (!folder(up->run, root ? 0711 : 0700))
			return false;
	} else {
		if (root || !runtime || runtime[0] != '/' || strlen(runtime) > 60)
			runtime = "/tmp";
		up_path(up->run, sizeof(up->run), "%s/boxoffice-XXXXXX", runtime);
		if (!mkdtemp(up->run))
			return up_say("cannot make a folder for sockets in %s: %s", runtime, strerror(errno));
		up->run_is_short = true;
		if (root && chmod(up->run, 0711) != 0)
			return up_say("%s: %s", up->run, strerror(errno));
		up_remove_tree(link);
		if (symlink(up->run, link) != 0)
			return up_say("cannot make %s: %s", link, strerror(errno));
	}
	up_path(path, sizeof(path), "%s/pg", up->run);
	if (!folder(path, 0700))
		return false;
	if (root && chown(path, up->pg_uid, up->pg_gid) != 0)
		return up_say("cannot give %s to PostgreSQL's user: %s", path, strerror(errno));
	up_percent(path, encoded, sizeof(encoded));
	up_path(up->database_url, sizeof(up->database_url), "postgresql:///boxoffice?host=%s&port=5432&user=boxoffice",
		encoded);
	up_path(up->app_database_url, sizeof(up->app_database_url),
		"postgresql:///boxoffice?host=%s&port=5432&user=boxoffice_app", encoded);
	up_path(path, sizeof(path), "%s/redis.sock", up->run);
	up_percent(path, encoded, sizeof(encoded));
	up_path(up->redis_url, sizeof(up->redis_url), "unix://%s", encoded);
	return true;
}

void up_run_close(struct up *up)
{
	char path[PATH_MAX + 32];

	if (!up->run[0])
		return;
	up_path(path, sizeof(path), "%s/pg/.s.PGSQL.5432", up->run);
	unlink(path);
	up_path(path, sizeof(path), "%s/pg/.s.PGSQL.5432.lock", up->run);
	unlink(path);
	up_path(path, sizeof(path), "%s/redis.sock", up->run);
	unlink(path);
	if (!up->run_is_short)
		return;
	up_remove_tree(up->run);
	up_path(path, sizeof(path), "%s/run", up->dir);
	unlink(path);
}

/* ---- secrets ---- */

static bool secret(struct up *up, const char *name, const char *prefix)
{
	char path[PATH_MAX + 64], text[160], hex[65];
	uint8_t random[32];
	char *old;
	bool ok;

	up_path(path, sizeof(path), "%s/secret/%s", up->dir, name);
	old = up_file_read(path, 300);
	if (old) {
		ok = strncmp(old, prefix, strlen(prefix)) == 0 &&
		     strspn(old + strlen(prefix), "0123456789abcdef") == 64;
		free(old);
		if (!ok)
			return up_say("%s is damaged: tokens and ticket codes depend on it; put it back from a copy, "
				      "or remove %s to begin "
				      "anew",
				      path, up->dir);
		return true;
	}
	crypto_random(random, sizeof(random));
	hex_encode(random, sizeof(random), hex);
	snprintf(text, sizeof(text), "%s%s\n", prefix, hex);
	return up_file_write(path, 0600, text);
}

bool up_secrets(struct up *up)
{
	return secret(up, "master.key", "") && secret(up, "payment.key", "sk_test_") &&
	       secret(up, "webhook.key", "whsec_");
}

/* ---- up.json ---- */

bool up_json_write(struct up *up)
{
	char path[PATH_MAX + 16];
	struct buf b;
	struct jw w;
	char *demo;
	bool ok;

	buf_init(&b, 64 * 1024);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kcstr(&w, "url", up->url);
	jw_kcstr(&w, "admin_token", up->token);
	jw_kcstr(&w, "database_url", up->database_url);
	jw_kcstr(&w, "redis_url", up->redis_url);
	jw_kcstr(&w, "payment_url", up->payment_url);
	if (up->kafka)
		jw_kcstr(&w, "kafka", up->kafka_brokers);
	jw_kint(&w, "pid", getpid());
	up_path(path, sizeof(path), "%s/demo.json", up->dir);
	demo = up->demo ? up_file_read(path, 16 * 1024) : NULL;
	if (demo) {
		struct error e = {0};
		json_t *j JSON_AUTO = json_read(str_from(demo), 8, &e);
		const json_t *shows = json_object_get(j, "show_ids");

		if (json_is_string(json_object_get(j, "event_id")) && json_is_array(shows)) {
			jw_key(&w, "demo");
			jw_obj(&w);
			jw_kcstr(&w, "event_id", json_string_value(json_object_get(j, "event_id")));
			jw_key(&w, "show_ids");
			jw_arr(&w);
			for (size_t i = 0; i < json_array_size(shows); i++)
				if (json_is_string(json_array_get(shows, i)))
					jw_cstr(&w, json_string_value(json_array_get(shows, i)));
			jw_arr_end(&w);
			jw_obj_end(&w);
		}
		free(demo);
	}
	jw_obj_end(&w);
	buf_addc(&b, '\n');
	up_path(path, sizeof(path), "%s/up.json", up->dir);
	ok = jw_done(&w) && up_file_write(path, 0600, b.p);
	buf_done(&b);
	return ok;
}

void up_json_remove(struct up *up)
{
	char path[PATH_MAX + 16];

	up_path(path, sizeof(path), "%s/up.json", up->dir);
	unlink(path);
}
