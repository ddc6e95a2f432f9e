/*
 * Owns how Kafka is reached: the operator's properties from a file, checked one by one, and what is always so. Called by the
 * producer, the consumer and the topics, each for a configuration of its own.
 */
#include "io/kafka_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_SIZE = 4096 };

/* The program's order and its promises rest on these; a file that says otherwise is a mistake to be told, not to be overruled. */
static const char *const ours[] = {
	"bootstrap.servers",  "metadata.broker.list",	  "client.id",	      "acks",	  "request.required.acks",
	"enable.idempotence", "enable.gapless.guarantee", "transactional.id", "group.id", "enable.auto.commit",
	"auto.commit.enable", "enable.auto.offset.store", "log_level",	      NULL};

static void quiet(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
}

void kafka_conf_own(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char why[KAFKA_ERROR_MAX];

	if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) != RD_KAFKA_CONF_OK) {
		fprintf(stderr, "librdkafka: %s: %s\n", name, why);
		abort();
	}
}

static bool is_ours(const char *name)
{
	for (size_t i = 0; ours[i]; i++)
		if (!strcmp(ours[i], name))
			return true;
	return false;
}

/* One line; false with a sentence. */
static bool take_line(rd_kafka_conf_t *conf, struct str line, const char *path, int number, char *error)
{
	struct str name, value = str_split(line, '=', &name);
	char n[128], v[LINE_SIZE], why[KAFKA_ERROR_MAX];
	bool split = name.n < line.n;
	rd_kafka_conf_res_t did;

	name = str_trim(name);
	value = str_trim(value);
	if (!split || name.n == 0 || name.n >= sizeof(n)) {
		snprintf(error, KAFKA_ERROR_MAX, "kafka-config: line %d of %s is not name=value", number, path);
		return false;
	}
	memcpy(n, name.p, name.n);
	n[name.n] = '\0';
	memcpy(v, value.p, value.n);
	v[value.n] = '\0';
	if (is_ours(n)) {
		snprintf(error, KAFKA_ERROR_MAX, "kafka-config: line %d of %s sets %s, which the program sets itself",
			 number, path, n);
		return false;
	}
	did = rd_kafka_conf_set(conf, n, v, why, sizeof(why));
	if (did == RD_KAFKA_CONF_OK)
		return true;
	/* librdkafka's sentence repeats the value, which may be a password */
	snprintf(error, KAFKA_ERROR_MAX, "kafka-config: line %d of %s: %s", number, path,
		 did == RD_KAFKA_CONF_UNKNOWN ? "librdkafka has no property of that name"
					      : "not a value that librdkafka takes");
	return false;
}

static bool take_file(rd_kafka_conf_t *conf, const char *path, char *error)
{
	char buf[LINE_SIZE];
	FILE *f = fopen(path, "re");
	bool ok = true;
	int number = 0;

	if (!f) {
		snprintf(error, KAFKA_ERROR_MAX, "kafka-config: %s: %s", path, strerror(errno));
		return false;
	}
	while (ok && fgets(buf, sizeof(buf), f)) {
		struct str line = {buf, strlen(buf)};
		bool whole = line.n > 0 && buf[line.n - 1] == '\n';

		number++;
		if (!whole && line.n == sizeof(buf) - 1) {
			snprintf(error, KAFKA_ERROR_MAX, "kafka-config: line %d of %s is longer than %d bytes", number,
				 path, LINE_SIZE - 2);
			ok = false;
			break;
		}
		while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
			line.n--;
		line = str_trim(line);
		if (line.n > 0 && line.p[0] != '#')
			ok = take_line(conf, line, path, number, error);
	}
	if (ok && ferror(f)) {
		snprintf(error, KAFKA_ERROR_MAX, "kafka-config: %s: %s", path, strerror(errno));
		ok = false;
	}
	fclose(f);
	return ok;
}

rd_kafka_conf_t *kafka_conf_new(const struct kafka_access *a, char ret_error[KAFKA_ERROR_MAX])
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char why[KAFKA_ERROR_MAX];

	rd_kafka_conf_set_log_cb(conf, quiet);
	/* after a broker's end: soon, a sale does not wait a second for it */
	kafka_conf_own(conf, "reconnect.backoff.ms", "50");
	kafka_conf_own(conf, "reconnect.backoff.max.ms", "2000");
	kafka_conf_own(conf, "socket.keepalive.enable", "true");
	if (a->config_file[0] && !take_file(conf, a->config_file, ret_error)) {
		rd_kafka_conf_destroy(conf);
		return NULL;
	}
	kafka_conf_own(conf, "client.id", a->client_id);
	if (!a->brokers[0] ||
	    rd_kafka_conf_set(conf, "bootstrap.servers", a->brokers, why, sizeof(why)) != RD_KAFKA_CONF_OK) {
		snprintf(ret_error, KAFKA_ERROR_MAX, "kafka-brokers: not a list of host:port");
		rd_kafka_conf_destroy(conf);
		return NULL;
	}
	return conf;
}

bool kafka_access_check(const struct kafka_access *a, char ret_error[KAFKA_ERROR_MAX])
{
	char why[KAFKA_ERROR_MAX];
	rd_kafka_conf_t *conf = kafka_conf_new(a, ret_error);
	rd_kafka_t *rk;

	if (!conf)
		return false;
	/* what fits together (SASL without a name, a certificate that is not there) is only seen when it is used */
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (!rk) {
		rd_kafka_conf_destroy(conf);
		snprintf(ret_error, KAFKA_ERROR_MAX, "kafka-config: %.400s", why);
		return false;
	}
	rd_kafka_destroy(rk);
	return true;
}
