/*
 * The Kafka of `up --kafka`: one broker in a Java of its own, its data in DIR/kafka/data, its ports the same from start to start.
 *
 *   DIR/kafka/            server.properties, java.options, log4j2.properties: written anew at each start, from deploy/kafka
 *   DIR/kafka/formatted   there when the data's folder was made completely; without it the folder is made anew
 *   DIR/kafka/ports       the broker's and the controller's
 *
 * Its jars are fetched by `make kafka`, never by us. Its working directory is DIR/kafka, so that no setting has to name DIR, whose
 * name may hold anything.
 */
#include "app/up_int.h"

#include "app/kafka_files.h"
#include "base/buf.h"
#include "base/ids.h"
#include "io/crypto.h"
#include "io/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static bool file_there(const char *folder, const char *name, char *out, size_t size)
{
	up_path(out, size, "%s/%s", folder, name);
	return access(out, F_OK) == 0;
}

/* Java and the jars; a sentence when something is missing. */
bool up_kafka_find(struct up *up)
{
	const char *home = getenv("JAVA_HOME");
	char exe_dir[PATH_MAX], *slash;

	if (!home || !home[0] || strlen(home) > PATH_MAX - 32 ||
	    !file_there(home, "bin/java", up->java_exe, sizeof(up->java_exe)))
		if (!up_in_path("java", up->java_exe, sizeof(up->java_exe)))
			return up_say("--kafka needs Java 17 or newer, and no java is installed: script/deps kafka (or "
				      "apt-get "
				      "install default-jre-headless)");
	up_path(exe_dir, sizeof(exe_dir), "%s", up->own_exe);
	slash = strrchr(exe_dir, '/');
	*slash = '\0';
	if (!file_there(exe_dir, "kafka/libs", up->kafka_libs, sizeof(up->kafka_libs)) &&
	    !file_there(exe_dir, "../kafka/libs", up->kafka_libs, sizeof(up->kafka_libs)))
		return up_say(
			"--kafka: Kafka's jars are not in %s/kafka: make kafka fetches them (then make up KAFKA=1)",
			exe_dir);
	return true;
}

/* ---- ports ---- */

static bool probe(int port, int *ret_port)
{
	uint16_t got;
	int fd = http_listen_tcp("127.0.0.1", (uint16_t)port, &got);

	if (fd < 0)
		return false;
	close(fd);
	*ret_port = got;
	return true;
}

static bool take_ports(struct up *up)
{
	char path[PATH_MAX + 32], text[32], *remembered;
	unsigned port = 0, controller = 0;

	up_path(path, sizeof(path), "%s/kafka/ports", up->dir);
	remembered = up_file_read(path, sizeof(text) - 1);
	if (remembered && sscanf(remembered, "%5u %5u", &port, &controller) != 2)
		port = controller = 0;
	free(remembered);
	if ((!probe((int)(port & 0xffff), &up->kafka_port) && !probe(0, &up->kafka_port)) ||
	    (!probe((int)(controller & 0xffff), &up->kafka_controller_port) && !probe(0, &up->kafka_controller_port)) ||
	    up->kafka_port == up->kafka_controller_port)
		return up_say("no port is free for Kafka: %s", strerror(errno));
	snprintf(text, sizeof(text), "%d %d\n", up->kafka_port, up->kafka_controller_port);
	up_path(up->kafka_brokers, sizeof(up->kafka_brokers), "127.0.0.1:%d", up->kafka_port);
	return up_file_write(path, 0600, text);
}

/* ---- its folder ---- */

/* A file of deploy/kafka with the marks filled in. */
static bool write_file(struct up *up, const struct embedded_file *file)
{
	char path[PATH_MAX + 64], port[16], controller[16];
	const struct {
		const char *mark, *value;
	} marks[] = {{"@DIR@", "."}, {"@PORT@", port}, {"@CONTROLLER_PORT@", controller}};
	const char *p = file->bytes;
	struct buf b;
	bool ok;

	snprintf(port, sizeof(port), "%d", up->kafka_port);
	snprintf(controller, sizeof(controller), "%d", up->kafka_controller_port);
	buf_init(&b, 64 * 1024);
	while (*p) {
		size_t n = 0;

		for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]) && n == 0; i++)
			if (strncmp(p, marks[i].mark, strlen(marks[i].mark)) == 0) {
				buf_adds(&b, marks[i].value);
				n = strlen(marks[i].mark);
			}
		if (n == 0)
			buf_addc(&b, *p);
		p += n ? n : 1;
	}
	up_path(path, sizeof(path), "%s/kafka/%s", up->dir, file->name);
	ok = up_file_write(path, 0600, b.p);
	buf_done(&b);
	return ok;
}

static void java_args(struct up *up, char *classes, size_t size, char **argv, int *n)
{
	up_path(classes, size, "%s/*", up->kafka_libs);
	argv[(*n)++] = up->java_exe;
	argv[(*n)++] = up_arg("@java.options");
	argv[(*n)++] = up_arg("-Dlog4j2.configurationFile=log4j2.properties");
	argv[(*n)++] = up_arg("-cp");
	argv[(*n)++] = classes;
}

/* In a process of its own: makes the folder of the data. */
static int format(struct up *up)
{
	char classes[PATH_MAX + 8], path[PATH_MAX + 16], id[UUID_TEXT], *argv[16];
	struct uuid cluster;
	int n = 0;

	up_path(path, sizeof(path), "%s/kafka", up->dir);
	if (chdir(path) != 0) {
		fprintf(stderr, "cannot enter %s: %s\n", path, strerror(errno));
		return 1;
	}
	crypto_random(cluster.b, sizeof(cluster.b));
	cluster.b[6] = (uint8_t)((cluster.b[6] & 0x0f) | 0x40);
	cluster.b[8] = (uint8_t)((cluster.b[8] & 0x3f) | 0x80);
	uuid_format(&cluster, id);
	java_args(up, classes, sizeof(classes), argv, &n);
	argv[n++] = up_arg("kafka.tools.StorageTool");
	argv[n++] = up_arg("format");
	argv[n++] = up_arg("-t");
	argv[n++] = id;
	argv[n++] = up_arg("-c");
	argv[n++] = up_arg("server.properties");
	argv[n++] = up_arg("--standalone");
	argv[n] = NULL;
	execv(argv[0], argv);
	fprintf(stderr, "cannot run %s: %s\n", argv[0], strerror(errno));
	return 127;
}

bool up_kafka_make(struct up *up)
{
	char path[PATH_MAX + 32], formatted[PATH_MAX + 32], words[512];

	up_path(path, sizeof(path), "%s/kafka", up->dir);
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return up_say("cannot make the folder %s: %s", path, strerror(errno));
	if (!take_ports(up))
		return false;
	for (const struct embedded_file *const *f = kafka_file_files; *f; f++)
		if (!write_file(up, *f))
			return false;
	up_path(formatted, sizeof(formatted), "%s/kafka/formatted", up->dir);
	if (access(formatted, F_OK) == 0)
		return true;
	up_path(path, sizeof(path), "%s/kafka/data", up->dir);
	if (!up_remove_tree(path))
		return up_say("cannot clear %s: %s", path, strerror(errno));
	if (child_run_step(up, "kafka-format", NULL, geteuid(), getegid(), format) != 0) {
		if (up_stop_wanted())
			return false;
		child_last_words(up, "kafka-format", words, sizeof(words));
		return up_say("Kafka's data folder could not be made (it needs Java 17 or newer): %s "
			      "(%s/log/kafka-format.log)",
			      words, up->dir);
	}
	return up_file_write(formatted, 0600, "");
}

/* ---- the broker ---- */

void up_kafka_start(struct up *up, struct child *c)
{
	char classes[PATH_MAX + 8], path[PATH_MAX + 16], *argv[16];
	int n = 0;

	up_path(path, sizeof(path), "%s/kafka", up->dir);
	java_args(up, classes, sizeof(classes), argv, &n);
	argv[n++] = up_arg("kafka.Kafka");
	argv[n++] = up_arg("server.properties");
	argv[n] = NULL;
	/* -9 when we are killed: it must not still be on its data when the next `up` starts */
	child_spawn(up, c, argv, geteuid(), getegid(), SIGKILL, path, NULL);
}

/* It opens its port when it can be asked. */
bool up_kafka_answers(struct up *up)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)up->kafka_port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ok = fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;
	if (fd >= 0)
		close(fd);
	return ok;
}
