/* boxoffice-paysim: options, one process, one loop, an orderly end on SIGTERM and SIGINT. README.md has the rest. */
#include "base/cli.h"
#include "base/times.h"
#include "base/xmalloc.h"
#include "io/crypto.h"
#include "io/log.h"
#include "paysim/sim.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct options {
	const char *db, *host, *secret_key, *public_url, *webhook_url, *webhook_secrets[WEBHOOK_SECRETS_MAX], *merchant,
		*webhook_secret_file;
	size_t n_webhook_secrets;
	int64_t port, later_s;
};

static const struct cli_option cli_options[] = {
	{"db", "FILE", "the ledger (SQLite; made when it is not there)"},
	{"host", "ADDRESS", "where to listen (127.0.0.1)"},
	{"port", "N", "0: any free one (0)"},
	{"secret-key", "KEY", "the only key accepted, also for /_sim (any that starts with sk_, and none for /_sim)"},
	{"webhook-url", "URL", "where events are posted to (nowhere)"},
	{"webhook-secret", "SECRET...",
	 "what they are signed with (whsec_...); a second one while secrets are changed"},
	{"webhook-secret-file", "FILE", "the same, one a line: nobody sees them in the list of processes"},
	{"later-seconds", "N", "how long the cards wait that do something later, by the simulator's clock (2)"},
	{"merchant", "NAME", "who is paid, on the 3-D Secure page (Boxoffice)"},
	{"public-url", "URL", "how browsers reach this, for the 3-D Secure page (http://HOST:PORT)"},
	{0},
};
static const struct cli cli = {
	"boxoffice-paysim",
	"A payment gateway for tests and demonstrations: Stripe's HTTP interface over a durable ledger. No money "
	"moves. "
	"When it is ready it prints one line of JSON with its url on standard output.",
	cli_options,
};

static bool secrets_read(struct options *o, struct error *e)
{
	static char text[300 * WEBHOOK_SECRETS_MAX];
	FILE *f = fopen(o->webhook_secret_file, "re");
	char *line, *rest = text;

	if (!f)
		return error_set(e, ERR_INVALID_REQUEST, "", "%s: %s", o->webhook_secret_file, strerror(errno));
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	while ((line = strsep(&rest, "\r\n")) && o->n_webhook_secrets < WEBHOOK_SECRETS_MAX)
		if (*line)
			o->webhook_secrets[o->n_webhook_secrets++] = line;
	if (!o->n_webhook_secrets)
		return error_set(e, ERR_INVALID_REQUEST, "", "%s holds no secret", o->webhook_secret_file);
	return true;
}

/* -1: go on; otherwise the exit status. */
static int read_options(int argc, char **argv, struct options *o)
{
	struct error e = {0};
	struct cli_args args;
	struct buf help;

	switch (cli_read(&cli, argc - 1, argv + 1, &args, &e)) {
	case CLI_HELP:
		buf_init(&help, 64 * 1024);
		cli_help(&cli, &help);
		fputs(help.p, stdout);
		buf_done(&help);
		return 0;
	case CLI_OK:
		*o = (struct options){
			.db = cli_value(&args, "db", NULL),
			.host = cli_value(&args, "host", "127.0.0.1"),
			.secret_key = cli_value(&args, "secret-key", NULL),
			.public_url = cli_value(&args, "public-url", NULL),
			.webhook_url = cli_value(&args, "webhook-url", NULL),
			.merchant = cli_value(&args, "merchant", "Boxoffice"),
			.webhook_secret_file = cli_value(&args, "webhook-secret-file", NULL),
		};
		while (o->n_webhook_secrets < WEBHOOK_SECRETS_MAX &&
		       (o->webhook_secrets[o->n_webhook_secrets] =
				cli_value_at(&args, "webhook-secret", o->n_webhook_secrets)))
			o->n_webhook_secrets++;
		if (!cli_number(&args, "port", 0, 65535, 0, &o->port, &e) ||
		    !cli_number(&args, "later-seconds", 0, 86400 * 365, 2, &o->later_s, &e))
			break;
		if (!o->db)
			error_set(&e, ERR_INVALID_REQUEST, "", "--db FILE is needed: where the ledger is kept");
		else if (o->secret_key && !*o->secret_key)
			error_set(&e, ERR_INVALID_REQUEST, "", "--secret-key takes a key");
		else if (cli_value_at(&args, "webhook-secret", WEBHOOK_SECRETS_MAX))
			error_set(&e, ERR_INVALID_REQUEST, "", "--webhook-secret: two at most");
		else if (!str_utf8_valid(str_from(o->merchant)) || str_utf8_length(str_from(o->merchant)) > 80)
			error_set(&e, ERR_INVALID_REQUEST, "", "--merchant takes at most 80 characters");
		else if (o->n_webhook_secrets && o->webhook_secret_file)
			error_set(&e, ERR_INVALID_REQUEST, "",
				  "--webhook-secret and --webhook-secret-file are two ways to say the same");
		else if (!o->webhook_url != !(o->n_webhook_secrets || o->webhook_secret_file))
			error_set(&e, ERR_INVALID_REQUEST, "",
				  "--webhook-url and --webhook-secret (or --webhook-secret-file) go together");
		else if (!o->webhook_secret_file || secrets_read(o, &e))
			return -1;
		break;
	case CLI_WRONG:
		break;
	}
	fprintf(stderr, "boxoffice-paysim: %s\n", e.detail);
	return 2;
}

/* Authorisations end and kept answers are forgotten without anybody asking. */
static void on_janitor(void *arg)
{
	struct sim *sim = arg;

	timer_set_ms(sim->janitor, sim_janitor(sim) ? 0 : 1000);
	if (sim->webhook)
		webhook_poke(sim->webhook);
}

static void on_drained(void *arg)
{
	struct sim *sim = arg;

	loop_stop(sim->loop);
}

static void on_signal(void *arg, int signo)
{
	struct sim *sim = arg;

	sim_release_held(sim, false);
	http_server_drain(sim->server, 100, on_drained, sim);
}

static void ready(const struct sim *sim)
{
	struct buf b;
	struct jw w;

	buf_init(&b, 4096);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kcstr(&w, "url", sim->base_url);
	jw_kint(&w, "pid", getpid());
	jw_obj_end(&w);
	jw_done(&w);
	printf("%s\n", b.p);
	fflush(stdout);
	buf_done(&b);
}

/* Requests that are no HTTP, or larger than anything that is read, are refused in the gateway's form too. */
static void on_unreadable(void *arg, enum err code, const char *detail, const struct uuid *request_id, struct buf *out)
{
	struct jw w;

	(void)arg;
	(void)request_id;
	jw_init(&w, out);
	jw_obj(&w);
	jw_key(&w, "error");
	jw_obj(&w);
	jw_kcstr(&w, "message", detail ? detail : "The request could not be read.");
	jw_kcstr(&w, "type", code == ERR_INTERNAL || code == ERR_UNAVAILABLE ? "api_error" : "invalid_request_error");
	jw_obj_end(&w);
	jw_obj_end(&w);
	jw_done(&w);
}

static char *base_url(const struct options *o, uint16_t port)
{
	bool v6 = strchr(o->host, ':') != NULL;
	size_t n = strlen(o->host) + 32;
	char *url;

	if (o->public_url) {
		url = xstrdup(o->public_url);
		for (n = strlen(url); n && url[n - 1] == '/'; n--)
			url[n - 1] = '\0';
		return url;
	}
	url = xmalloc(n);
	snprintf(url, n, "http://%s%s%s:%u", v6 ? "[" : "", o->host, v6 ? "]" : "", port);
	return url;
}

int main(int argc, char **argv)
{
	struct signal_watch *signals[2];
	struct options o;
	struct sim sim = {0};
	const char *error;
	uint16_t port = 0;
	int fd, status;

	status = read_options(argc, argv, &o);
	if (status >= 0)
		return status;
	log_setup(LOG_INFO, "paysim", -1);
	if (!crypto_init()) {
		fprintf(stderr, "boxoffice-paysim: the system gives no randomness\n");
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	sim.store = store_open(o.db, &error);
	if (!sim.store) {
		fprintf(stderr, "boxoffice-paysim: %s: %s\n", o.db, error);
		return 1;
	}
	fd = http_listen_tcp(o.host, (uint16_t)o.port, &port);
	if (fd < 0) {
		fprintf(stderr, "boxoffice-paysim: cannot listen on %s port %u: %s\n", o.host, (unsigned)o.port,
			strerror(errno));
		store_close(sim.store);
		return 1;
	}
	sim.loop = loop_new();
	sim.secret_key = o.secret_key ? str_from(o.secret_key) : STR_NULL;
	sim.base_url = base_url(&o, port);
	sim.merchant = o.merchant;
	sim.later_us = o.later_s * US_PER_SECOND;
	sim.clock_offset_us = store_setting(sim.store, "clock_offset_us", 0);
	list_init(&sim.faults);
	list_init(&sim.held);
	list_init(&sim.answered);
	sim_start(&sim);
	if (o.webhook_url)
		sim.webhook = webhook_new(&sim, o.webhook_url, o.webhook_secrets, o.n_webhook_secrets);
	sim.janitor = timer_new(sim.loop, on_janitor, &sim);
	timer_set_ms(sim.janitor, 0);
	sim.server = http_server_new(sim.loop, &(struct http_server_config){
						       .head_max = 16 * 1024,
						       .headers_max = 100,
						       .body_max = SIM_BODY_READ_MAX,
						       .head_timeout_ms = 10000,
						       .body_timeout_ms = 10000,
						       .idle_timeout_ms = 60000,
						       .write_timeout_ms = 30000,
						       .conns_max = 4096,
						       .handler = sim_handle,
						       .error_body = on_unreadable,
						       .random_bytes = crypto_random,
						       .arg = &sim,
					       });
	http_server_listen(sim.server, fd);
	signals[0] = signal_watch_new(sim.loop, SIGTERM, on_signal, &sim);
	signals[1] = signal_watch_new(sim.loop, SIGINT, on_signal, &sim);
	ready(&sim);
	loop_run(sim.loop);

	signal_watch_free(signals[0]);
	signal_watch_free(signals[1]);
	sim_stop(&sim);
	http_server_free(sim.server);
	webhook_free(sim.webhook);
	timer_free(sim.janitor);
	faults_free(&sim);
	store_close(sim.store);
	loop_free(sim.loop);
	free(sim.base_url);
	return 0;
}
