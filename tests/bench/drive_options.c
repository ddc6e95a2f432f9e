/*
 * The options, from one table that --help is made from as well. --header may be repeated, which base/cli does not know:
 * such arguments are taken out before it reads the rest.
 */
#include "drive_options.h"

#include "base/cli.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct cli_option table[] = {
	{"url", "URL",
	 "where the server is: http://127.0.0.1:PORT, http://localhost:PORT, http://[::1]:PORT or unix:PATH"},
	{"shows", "FILE", "a line per show: its id, a tab, its number of seats; the guid of seat k (from 0) is S-k"},
	{"connections", "N", "keep-alive connections, 1 to 60000 (default 256; onsale: 2000; lone has one)"},
	{"rate", "R", "arrivals a second, 0.01 to 1000000 (default 1000; idle: 10); the losers of rush come besides"},
	{"arrival", "HOW", "poisson (the default) or constant"},
	{"ramp", NULL, "look for the highest rate at which p99 stays under --p99-ms, beginning with --rate"},
	{"p99-ms", "MS", "for --ramp, 1 to 60000 (default 100)"},
	{"step-seconds", "S", "for --ramp: length of a step, 0.2 to 600 (default 2)"},
	{"steps", "N", "for --ramp: steps at most, 1 to 100 (default 8)"},
	{"warmup", "S", "seconds that are not counted, 0 to 600 (default 1; onsale: none)"},
	{"seconds", "S", "seconds that are counted, 0.1 to 86400 (default 5; onsale: 120 at most)"},
	{"timeout", "S", "seconds to wait for the last answers, 0.1 to 600 (default 10)"},
	{"sessions", "N", "buyers made before the start, 1 to 1000000 (default 10000)"},
	{"seats", "N", "seats a lock, 1 to 10 (default 2)"},
	{"path", "P", "for get and lone: what is read (default /healthz)"},
	{"header", "LINE", "for get: a header line as 'Name: value'; may be given up to 16 times"},
	{"expect", "STATUS", "for get: the status that is right, 200 to 599 (default: 200 and 304)"},
	{"key", NULL, "send a random Idempotency-Key with each lock"},
	{"allow-refused", "SHARE",
	 "of the locks that may be refused in lock, rush, lone, idle and journey, 0 to 1 (default 0.01)"},
	{"hot", "N", "for lock-hot: seats that everybody wants, 1 to 100000 (default 100)"},
	{"taken", "N",
	 "for refuse and rush: seats of the first show locked before the start, 2 to 100000 (default 200)"},
	{"losers", "N", "for rush: losers per winner, 0 to 10000 (default 100)"},
	{"patience-ms", "MS", "for overload: how long a buyer waits for a connection, 1 to 600000 (default 1000)"},
	{"idle", "N", "besides: connections that never say anything, 0 to 1000000 (default 0; idle: 1000)"},
	{"buyers", "N", "for onsale: 1 to 1000000 (default 20000)"},
	{"open-seconds", "S", "for onsale: the time in which most of them arrive, 0.1 to 3600 (default 10)"},
	{"think-ms", "MS", "for onsale: between the lock and the payment in the mean, 0 to 600000 (default 500)"},
	{"tries", "N", "for onsale: locks a buyer tries, 1 to 100 (default 5)"},
	{"pay-share", "SHARE", "for onsale: of those with a lock who pay, 0.01 to 1 (default 0.9)"},
	{"leave-share", "SHARE", "for onsale: of those refused who leave at once, 0 to 1 (default 0.1)"},
	{"csv", "FILE", "for onsale: a row every 100 ms"},
	{"quantum-us", "US",
	 "least time between two looks at the connections, 0 to 10000 (default: 0, or 250 from 2000 arrivals a "
	 "second)"},
	{"realtime", NULL,
	 "run before everything else on the machine (needs the privilege): latencies without our own waits"},
	{"seed", "N", "of everything random (default 1)"},
	{0},
};

static const struct cli cli = {
	.command = "bench_drive",
	.summary = "Drives a server of tickets with an open load and prints one JSON object: what came of it.",
	.options = table,
	.positional = "SCENARIO",
	.positional_min = 1,
	.positional_max = 1,
};

static bool read_real(const struct cli_args *args, const char *name, double min, double max, double absent, double *ret,
		      struct error *e)
{
	const char *text = cli_value(args, name, NULL);
	char *end;

	*ret = absent;
	if (!text)
		return true;
	*ret = strtod(text, &end);
	if (end == text || *end || !(*ret >= min && *ret <= max))
		return error_set(e, ERR_INVALID_REQUEST, "", "--%s takes a number from %g to %g, not \"%.40s\".", name,
				 min, max, text);
	return true;
}

static bool read_int(const struct cli_args *args, const char *name, int min, int max, int absent, int *ret,
		     struct error *e)
{
	int64_t value;

	if (!cli_number(args, name, min, max, absent, &value, e))
		return false;
	*ret = (int)value;
	return true;
}

static bool read_ms(const struct cli_args *args, const char *name, double min_s, double max_s, double absent_s,
		    int *ret_ms, struct error *e)
{
	double s;

	if (!read_real(args, name, min_s, max_s, absent_s, &s, e))
		return false;
	*ret_ms = (int)(s * 1000 + 0.5);
	return true;
}

/* Loopback and local sockets only: this is a load generator. */
static bool read_url(struct options *o, const char *url, struct error *e)
{
	static const char refusal[] = "--url takes http://127.0.0.1:PORT, http://localhost:PORT, http://[::1]:PORT or "
				      "unix:PATH, on this machine only, not \"%.80s\".";
	static const char *const hosts[] = {"http://127.0.0.1:", "http://localhost:", "http://[::1]:"};
	struct str all = str_from(url), port;
	uint64_t number;

	if (str_starts(all, STR("unix:"))) {
		const char *path = url + 5;

		if (strncmp(path, "//", 2) == 0)
			path += 2;
		if (*path != '/' || strlen(path) >= sizeof(o->address.local.sun_path))
			return error_set(e, ERR_INVALID_REQUEST, "",
					 "--url unix:PATH takes an absolute path of at most %zu bytes.",
					 sizeof(o->address.local.sun_path) - 1);
		o->address.local.sun_family = AF_UNIX;
		memcpy(o->address.local.sun_path, path, strlen(path) + 1);
		o->address_n = sizeof(o->address.local);
		snprintf(o->host, sizeof(o->host), "localhost");
		return true;
	}
	for (int i = 0; i < 3; i++) {
		struct str prefix = str_from(hosts[i]);

		if (!str_starts(all, prefix))
			continue;
		port = (struct str){all.p + prefix.n, all.n - prefix.n};
		if (port.n && port.p[port.n - 1] == '/')
			port.n--;
		if (!str_to_u64(port, 65535, &number) || number == 0)
			break;
		if (i < 2) {
			o->address.v4 =
				(struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)number)};
			o->address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
			o->address_n = sizeof(o->address.v4);
		} else {
			o->address.v6 =
				(struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)number)};
			o->address.v6.sin6_addr = in6addr_loopback;
			o->address_n = sizeof(o->address.v6);
		}
		snprintf(o->host, sizeof(o->host), "%.*s%.*s", (int)(prefix.n - 7), prefix.p + 7, STR_FMT(port));
		return true;
	}
	return error_set(e, ERR_INVALID_REQUEST, "", refusal, url);
}

/* Takes --header LINE and --header=LINE out of argv. */
static bool take_headers(struct options *o, int *argc, char **argv, struct error *e)
{
	int kept = 0;

	for (int i = 0; i < *argc; i++) {
		const char *line;

		if (strncmp(argv[i], "--header", 8) != 0 || (argv[i][8] != '\0' && argv[i][8] != '=')) {
			argv[kept++] = argv[i];
			continue;
		}
		line = argv[i][8] == '=' ? argv[i] + 9 : i + 1 < *argc ? argv[++i] : "";
		if (!strchr(line, ':') || strpbrk(line, "\r\n"))
			return error_set(e, ERR_INVALID_REQUEST, "",
					 "--header takes one line as 'Name: value', not \"%.60s\".", line);
		if (o->n_headers == HEADERS_MAX)
			return error_set(e, ERR_INVALID_REQUEST, "", "--header may be given %d times at most.",
					 HEADERS_MAX);
		o->headers[o->n_headers++] = line;
	}
	*argc = kept;
	return true;
}

static bool read_values(struct options *o, const struct cli_args *args, struct error *e)
{
	bool lone = strcmp(o->scenario, "lone") == 0, idle = strcmp(o->scenario, "idle") == 0,
	     onsale = strcmp(o->scenario, "onsale") == 0;
	const char *arrival = cli_value(args, "arrival", "poisson"), *url = cli_value(args, "url", NULL);
	int64_t seed;

	if (!url)
		return error_set(e, ERR_INVALID_REQUEST, "", "--url is needed: --url http://127.0.0.1:PORT.");
	if (strcmp(arrival, "poisson") != 0 && strcmp(arrival, "constant") != 0)
		return error_set(e, ERR_INVALID_REQUEST, "", "--arrival takes poisson or constant, not \"%.40s\".",
				 arrival);
	o->constant = *arrival == 'c';
	o->shows_file = cli_value(args, "shows", NULL);
	o->path = cli_value(args, "path", "/healthz");
	if (*o->path != '/' || strpbrk(o->path, " \r\n") || strlen(o->path) > 1000)
		return error_set(e, ERR_INVALID_REQUEST, "",
				 "--path takes a path that begins with / and has no blanks.");
	o->csv = cli_value(args, "csv", NULL);
	o->ramp = cli_flag(args, "ramp");
	if (o->ramp && (onsale || lone))
		return error_set(e, ERR_INVALID_REQUEST, "", "--ramp is not for %s, which has no rate.", o->scenario);
	o->realtime = cli_flag(args, "realtime");
	o->key = cli_flag(args, "key");
	if (!cli_number(args, "seed", 0, INT64_MAX, 1, &seed, e))
		return false;
	o->seed = (uint64_t)seed;
	return read_url(o, url, e) &&
	       read_int(args, "connections", 1, lone ? 1 : 60000,
			lone	 ? 1
			: onsale ? 2000
				 : 256,
			&o->connections, e) &&
	       read_real(args, "rate", 0.01, 1e6, idle ? 10 : 1000, &o->rate, e) &&
	       read_int(args, "p99-ms", 1, 60000, 100, &o->p99_ms, e) &&
	       read_ms(args, "step-seconds", 0.2, 600, 2, &o->step_ms, e) &&
	       read_int(args, "steps", 1, 100, 8, &o->steps, e) &&
	       read_ms(args, "warmup", 0, onsale ? 0 : 600, onsale ? 0 : 1, &o->warmup_ms, e) &&
	       read_ms(args, "seconds", 0.1, 86400, onsale ? 120 : 5, &o->seconds_ms, e) &&
	       read_ms(args, "timeout", 0.1, 600, 10, &o->timeout_ms, e) &&
	       read_int(args, "sessions", 1, 1000000, 10000, &o->sessions, e) &&
	       read_int(args, "seats", 1, SEATS_MAX, 2, &o->seats, e) &&
	       read_int(args, "expect", 200, 599, 0, &o->expect, e) &&
	       read_real(args, "allow-refused", 0, 1, 0.01, &o->allow_refused, e) &&
	       read_int(args, "hot", 1, 100000, 100, &o->hot, e) &&
	       read_int(args, "taken", 2, 100000, 200, &o->taken, e) &&
	       read_real(args, "losers", 0, 10000, 100, &o->losers, e) &&
	       read_int(args, "patience-ms", 1, 600000, 1000, &o->patience_ms, e) &&
	       read_int(args, "idle", 0, 1000000, idle ? 1000 : 0, &o->idle, e) &&
	       read_int(args, "buyers", 1, 1000000, 20000, &o->buyers, e) &&
	       read_ms(args, "open-seconds", 0.1, 3600, 10, &o->open_ms, e) &&
	       read_int(args, "think-ms", 0, 600000, 500, &o->think_ms, e) &&
	       read_int(args, "tries", 1, 100, 5, &o->tries, e) &&
	       read_real(args, "pay-share", 0.01, 1, 0.9, &o->pay_share, e) &&
	       read_real(args, "leave-share", 0, 1, 0.1, &o->leave_share, e) &&
	       read_int(args, "quantum-us", 0, 10000, -1, &o->quantum_us, e);
}

enum options_result options_read(int argc, char **argv, const char *names, struct options *ret, struct buf *ret_text)
{
	struct error e = {0};
	struct cli_args args;

	*ret = (struct options){0};
	if (take_headers(ret, &argc, argv, &e)) {
		switch (cli_read(&cli, argc, argv, &args, &e)) {
		case CLI_HELP:
			cli_help(&cli, ret_text);
			buf_addf(ret_text, "\nScenarios:\n%s", names);
			return OPTIONS_HELP;
		case CLI_OK:
			ret->scenario = args.positional[0];
			if (read_values(ret, &args, &e))
				return OPTIONS_OK;
			break;
		case CLI_WRONG:
			break;
		}
	}
	buf_addf(ret_text, "bench_drive: %s\n", e.detail);
	return OPTIONS_WRONG;
}
