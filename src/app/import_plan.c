/* `boxoffice import-plan`: a seating plan checked here, or uploaded to a running service. Blocks. */
#include "app/app.h"
#include "app/sync_http.h"
#include "app/up_state.h"
#include "base/cli.h"
#include "base/json.h"
#include "base/xmalloc.h"
#include "event/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 64 * 1024 * 1024, UPLOAD_MS = 120000 };

static const struct cli_option options[] = {
	{"check", NULL, "only check the file, here; nothing is uploaded"},
	{"dir", "DIR", "upload to the `boxoffice up` that runs in this folder"},
	{"url", "URL", "upload to the service at this address"},
	{"token", "TOKEN", "a staff token with the scope events (better: BOXOFFICE_TOKEN in the environment)"},
	{"venue", "ID", "the venue whose plan it is"},
	{0},
};
static const struct cli cli = {
	"boxoffice import-plan",
	"Uploads a seating plan (pretix seating-plan JSON) as the venue's next version and prints its plan_id, or the "
	"fault with its JSON Pointer.",
	options,
	"FILE",
	1,
	1};

/* "-": standard input. The caller frees. */
static char *read_all(const char *path, size_t *ret_n)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	struct buf b;
	char part[65536];
	size_t n;
	bool ok;

	if (!f) {
		fprintf(stderr, "boxoffice: cannot read %s: %s\n", path, strerror(errno));
		return NULL;
	}
	buf_init(&b, FILE_MAX);
	while ((n = fread(part, 1, sizeof(part), f)) > 0 && buf_add(&b, part, n)) {
	}
	ok = !ferror(f) && !b.failed;
	if (b.failed)
		fprintf(stderr, "boxoffice: %s is larger than %d MiB\n", path, FILE_MAX / 1024 / 1024);
	else if (!ok)
		fprintf(stderr, "boxoffice: cannot read %s: %s\n", path, strerror(errno));
	if (f != stdin)
		fclose(f);
	if (!ok) {
		buf_done(&b);
		return NULL;
	}
	buf_addc(&b, '\0');
	*ret_n = b.n - 1;
	return buf_take(&b, &n);
}

static int check_only(const char *path, struct str text)
{
	struct error e = {0};
	struct plan *p = plan_import(text, NULL, &e);

	if (!p) {
		fprintf(stderr, "boxoffice: %s: %s: %s (at \"%s\")\n", path, err_info(e.code)->code, e.detail, e.path);
		return 1;
	}
	printf("ok: %.*s: %u seats in %u rows and %u zones, %u categories\n", STR_FMT(plan_name(p)), plan_n_seats(p),
	       plan_n_rows(p), plan_n_zones(p), plan_n_categories(p));
	plan_unref(p);
	return 0;
}

static int upload(const char *url, const char *token, const char *venue, const char *path, struct str text)
{
	struct http_answer a;
	char target[200], words[600];
	struct uuid id;
	int status = 1;

	if (!uuid_parse(str_from(venue), &id)) {
		fprintf(stderr, "boxoffice: --venue takes the venue_id that POST /v1/venues answered; \"%s\" is none\n",
			venue);
		return 2;
	}
	snprintf(target, sizeof(target), "/v1/venues/%.36s/plans", venue);
	if (sync_http(url, "POST", target, token, NULL, text, UPLOAD_MS, &a) && a.status == 201) {
		printf("%s\n", json_string_value(json_object_get(a.json, "plan_id")));
		status = 0;
	} else {
		sync_http_say(&a, words, sizeof(words));
		fprintf(stderr, "boxoffice: %s: %s\n", path, words);
	}
	sync_http_done(&a);
	return status;
}

int import_plan_main(int argc, char **argv)
{
	struct up_state up = {0};
	struct error e = {0};
	struct cli_args args;
	struct buf help;
	const char *url, *token, *venue, *path;
	char *text;
	size_t n;
	int status = 2;

	switch (cli_read(&cli, argc, argv, &args, &e)) {
	case CLI_HELP:
		buf_init(&help, 64 * 1024);
		cli_help(&cli, &help);
		fputs(help.p, stdout);
		buf_done(&help);
		return 0;
	case CLI_WRONG:
		fprintf(stderr, "boxoffice: %s\n", e.detail);
		return 2;
	case CLI_OK:
		break;
	}
	path = args.positional[0];
	url = cli_value(&args, "url", NULL);
	token = cli_value(&args, "token", getenv("BOXOFFICE_TOKEN"));
	venue = cli_value(&args, "venue", NULL);
	if (cli_value(&args, "dir", NULL)) {
		if (!up_state_read(cli_value(&args, "dir", NULL), &up))
			return 2;
		url = url ? url : up.url;
		token = token ? token : up.admin_token;
	}
	if (!cli_flag(&args, "check") && (!url || !token || !venue)) {
		fprintf(stderr, "boxoffice: import-plan needs --venue, and --url with --token or --dir; or --check\n");
		goto out;
	}
	text = read_all(path, &n);
	if (!text) {
		status = 1;
		goto out;
	}
	if (cli_flag(&args, "check"))
		status = check_only(path, (struct str){text, n});
	else
		status = upload(url, token, venue, path, (struct str){text, n});
	free(text);
out:
	up_state_done(&up);
	return status;
}
