/*
 * The door without a network: reads the published keys and, when given, the list of revoked tickets, then says of each
 * code whether it holds. Standard output has one line a code (one JSON object with --json) and, when codes came from
 * standard input, a summary; standard error says what was wrong with the call. Called by main.c.
 */
#include "ticket/verify_cmd.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/times.h"
#include "io/crypto.h"
#include "io/loop.h"
#include "ticket/bundle.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_VALID = 0, EXIT_INVALID = 1, EXIT_USAGE = 2 };
enum { FILE_BYTES_MAX = 128 * 1024 * 1024, LINE_BYTES_MAX = 4096 };

static const char usage[] =
	"usage: boxoffice verify-ticket --keys FILE [--revoked FILE | --bundle FILE] [--show SHOW_ID] [--json] CODE... "
	"| -\n"
	"\n"
	"Checks ticket codes without a network.\n"
	"  --keys FILE     trusted keys, the answer of GET /v1/tickets/keys\n"
	"  --revoked FILE  tickets no longer valid, the answer of GET /v1/shows/SHOW_ID/tickets/revoked\n"
	"  --bundle FILE   what a door carries, the answer of GET /v1/shows/SHOW_ID/door: its show, its keys, revoked "
	"and used\n"
	"                  tickets; it has to be signed with one of the keys in --keys, and not to be over\n"
	"  --expired-ok    take a bundle that is over, with a warning\n"
	"  --show SHOW_ID  refuse tickets of any other show\n"
	"  --json          one JSON object a line\n"
	"  -               read codes from standard input, one a line\n"
	"Exit status: 0 every code is valid, 1 one is not, 2 wrong usage or a file that cannot be read.\n";

struct verify {
	struct ticket_trust_lists lists;
	struct ticket_trust trust;
	struct bundle bundle; /* all zero: none */
	struct uuid show_id;
	bool json;
	uint64_t valid, invalid;
};

static bool read_file(const char *path, struct buf *ret)
{
	FILE *f = fopen(path, "rb");
	char chunk[16384];
	size_t n;
	bool ok;

	if (!f)
		return false;
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0 && buf_add(ret, chunk, n))
		;
	ok = !ferror(f) && !ret->failed;
	fclose(f);
	return ok;
}

static bool load(struct verify *v, const char *path,
		 bool (*read)(struct ticket_trust_lists *, struct str, struct error *))
{
	struct error error = {0};
	struct buf text;
	bool ok;

	buf_init(&text, FILE_BYTES_MAX);
	ok = read_file(path, &text);
	if (!ok)
		fprintf(stderr, "verify-ticket: cannot read %s\n", path);
	else if (!(ok = read(&v->lists, buf_str(&text), &error)))
		fprintf(stderr, "verify-ticket: %s is not such a list: %s%s%s\n", path, error.path,
			*error.path ? ": " : "", error.detail);
	buf_done(&text);
	return ok;
}

/* The keys are read already. */
static bool load_bundle(struct verify *v, const char *path, bool expired_ok)
{
	char until[TIME_TEXT_MAX];
	struct error error = {0};
	struct buf text;
	bool ok;

	buf_init(&text, FILE_BYTES_MAX);
	ok = read_file(path, &text);
	if (!ok)
		fprintf(stderr, "verify-ticket: cannot read %s\n", path);
	else if (!(ok = bundle_open(buf_str(&text), v->lists.keys, v->lists.n_keys, &v->bundle, &error)))
		fprintf(stderr, "verify-ticket: %s is not a bundle to be believed: %s%s%s\n", path, error.path,
			*error.path ? ": " : "", error.detail);
	buf_done(&text);
	if (!ok)
		return false;
	if (v->bundle.delta) {
		fprintf(stderr,
			"verify-ticket: %s has only what changed since another bundle; ask for the whole without "
			"?since=\n",
			path);
		return false;
	}
	if (wall_now_us() >= v->bundle.expires_at_us) {
		time_format(v->bundle.expires_at_us, until);
		fprintf(stderr, "verify-ticket: %s was good until %s%s\n", path, until,
			expired_ok ? "" : "; fetch another one, or say --expired-ok");
		return expired_ok;
	}
	return true;
}

static void print_line(const struct verify *v, enum ticket_reason reason, const struct ticket_claims *c)
{
	char show[UUID_TEXT], ticket[UUID_TEXT];
	struct buf out;
	struct jw w;

	uuid_format(&c->show_id, show);
	uuid_format(&c->ticket_id, ticket);
	if (!v->json) {
		printf("%s", reason == TICKET_OK ? "valid" : "invalid");
		if (reason != TICKET_OK)
			printf(" (%s)", ticket_reason_code(reason));
		if (!uuid_is_zero(&c->ticket_id))
			printf(" show=%s seat_no=%u ticket=%s serial=%u", show, (unsigned)c->seat_no, ticket,
			       (unsigned)c->serial);
		printf("%s%s\n", reason == TICKET_OK ? "" : ": ",
		       reason == TICKET_OK ? "" : ticket_reason_text(reason));
		return;
	}
	buf_init(&out, 4096);
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kbool(&w, "valid", reason == TICKET_OK);
	jw_kcstr(&w, "reason", ticket_reason_code(reason));
	if (!uuid_is_zero(&c->ticket_id)) {
		jw_kcstr(&w, "show_id", show);
		jw_kint(&w, "seat_no", c->seat_no);
		jw_kcstr(&w, "ticket_id", ticket);
		jw_kint(&w, "serial", c->serial);
	}
	jw_obj_end(&w);
	jw_done(&w);
	printf("%.*s\n", STR_FMT(buf_str(&out)));
	buf_done(&out);
}

static void verify_one(struct verify *v, struct str code)
{
	struct ticket_claims claims;
	enum ticket_reason reason = ticket_code_verify(code, &v->trust, &claims);

	if (reason == TICKET_OK && bundle_find_used(&v->bundle, &claims.ticket_id))
		reason = TICKET_ALREADY_USED;
	print_line(v, reason, &claims);
	if (reason == TICKET_OK)
		v->valid++;
	else
		v->invalid++;
}

static void print_summary(const struct verify *v)
{
	char as_of[TIME_TEXT_MAX] = "";

	if (v->lists.revoked_as_of_us || v->bundle.as_of_us)
		time_format(v->bundle.as_of_us ? v->bundle.as_of_us : v->lists.revoked_as_of_us, as_of);
	if (v->json)
		printf("{\"summary\":{\"valid\":%llu,\"invalid\":%llu}}\n", (unsigned long long)v->valid,
		       (unsigned long long)v->invalid);
	else
		printf("%llu valid, %llu invalid%s%s\n", (unsigned long long)v->valid, (unsigned long long)v->invalid,
		       *as_of ? "; revocations as of " : "", as_of);
}

/* Lines may end in CR LF and have blanks around them, as scanners send them; empty ones do not count. A line too long
 * to be a code is one malformed code. */
static bool verify_stdin(struct verify *v)
{
	char line[LINE_BYTES_MAX];
	size_t n = 0;
	int c;

	do {
		c = getc(stdin);
		if (c != '\n' && c != EOF) {
			if (n < sizeof(line))
				line[n++] = (char)c;
			continue;
		}
		struct str code = {line, n};

		while (code.n &&
		       (code.p[code.n - 1] == '\r' || code.p[code.n - 1] == ' ' || code.p[code.n - 1] == '\t'))
			code.n--;
		code = str_trim(code);
		if (code.n)
			verify_one(v, code);
		n = 0;
	} while (c != EOF);
	if (ferror(stdin)) {
		fprintf(stderr, "verify-ticket: standard input cannot be read\n");
		return false;
	}
	print_summary(v);
	return true;
}

static int run(struct verify *v, int argc, char **argv)
{
	static const struct option options[] = {
		{"keys", required_argument, NULL, 'k'},	  {"revoked", required_argument, NULL, 'r'},
		{"show", required_argument, NULL, 's'},	  {"json", no_argument, NULL, 'j'},
		{"bundle", required_argument, NULL, 'b'}, {"expired-ok", no_argument, NULL, 'e'},
		{"help", no_argument, NULL, 'h'},	  {0},
	};
	const char *keys = NULL, *revoked = NULL, *show = NULL, *bundle = NULL;
	bool expired_ok = false;
	int option;

	optind = 1;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (option) {
		case 'k':
			keys = optarg;
			break;
		case 'r':
			revoked = optarg;
			break;
		case 's':
			show = optarg;
			break;
		case 'b':
			bundle = optarg;
			break;
		case 'e':
			expired_ok = true;
			break;
		case 'j':
			v->json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_VALID;
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	if (!keys || optind == argc || (revoked && bundle)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (show && !uuid_parse(str_from(show), &v->show_id)) {
		fprintf(stderr, "verify-ticket: --show wants the id of a show, a UUID\n");
		return EXIT_USAGE;
	}
	if (!load(v, keys, ticket_trust_read_keys) || (revoked && !load(v, revoked, ticket_trust_read_revoked)) ||
	    (bundle && !load_bundle(v, bundle, expired_ok)))
		return EXIT_USAGE;
	if (bundle && show && !uuid_eq(&v->show_id, &v->bundle.show_id)) {
		fprintf(stderr, "verify-ticket: %s is the bundle of another show\n", bundle);
		return EXIT_USAGE;
	}
	v->trust = (struct ticket_trust){
		.keys = v->lists.keys,
		.n_keys = v->lists.n_keys,
		.revoked = v->lists.revoked,
		.n_revoked = v->lists.n_revoked,
		.show_id = show ? &v->show_id : NULL,
	};
	if (bundle)
		v->trust = (struct ticket_trust){
			.keys = v->bundle.lists.keys,
			.n_keys = v->bundle.lists.n_keys,
			.revoked = v->bundle.lists.revoked,
			.n_revoked = v->bundle.lists.n_revoked,
			.show_id = &v->bundle.show_id,
		};
	for (int i = optind; i < argc; i++)
		if (strcmp(argv[i], "-") != 0)
			verify_one(v, str_from(argv[i]));
		else if (!verify_stdin(v))
			return EXIT_USAGE;
	/* An answer that could not be written was not given */
	if (fflush(stdout) != 0 || ferror(stdout))
		return EXIT_USAGE;
	return v->invalid ? EXIT_INVALID : EXIT_VALID;
}

int ticket_verify_main(int argc, char **argv)
{
	struct verify v = {0};
	int status;

	if (!crypto_init()) {
		fprintf(stderr, "verify-ticket: the system gives no random numbers\n");
		return EXIT_USAGE;
	}
	ticket_trust_lists_init(&v.lists);
	status = run(&v, argc, argv);
	ticket_trust_lists_done(&v.lists);
	bundle_done(&v.bundle);
	return status;
}
