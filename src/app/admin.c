/*
 * `boxoffice admin`: organisers, their API tokens, the key that signs tickets; what is kept about a person
 * (admin_buyer.c); users of the staff (admin_user.c); what waits for a person about payments (admin_payments.c); backup, restore, and
 * whether sales are open (admin_backup.c, admin_restore.c, admin_reopen.c). Straight to the database: whoever may use it has the
 * database's address. Blocks. A token is shown once; only its hash is kept.
 */
#include "app/admin_int.h"
#include "app/admin_sql.h"
#include "app/app.h"
#include "app/migrate.h"
#include "app/up_state.h"
#include "base/times.h"
#include "ticket/ticket_admin.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char summary[] = "  admin organizer create NAME\n"
			      "  admin organizer list\n"
			      "  admin token create --organizer NAME --name WHAT-FOR --scopes "
			      "events,seats,bookings,payments,checkin,admin|all\n"
			      "  admin token list\n"
			      "  admin token revoke TOKEN-ID\n"
			      "  admin user add --organizer NAME --email ADDRESS --scopes ...\n"
			      "  admin user list\n"
			      "  admin user passwd --email ADDRESS\n"
			      "  admin user disable --email ADDRESS\n"
			      "  admin key rotate\n"
			      "  admin payments list [--all]\n"
			      "  admin payments settle FINDING-ID --how TEXT [--by WHO]\n"
			      "  admin payments retry-refund REFUND-ID [--by WHO]\n"
			      "  admin notifications list [--all]\n"
			      "  admin notifications retry NOTIFICATION-ID | --all\n"
			      "  admin outbox list [--all]\n"
			      "  admin outbox retry EVENT-ID\n"
			      "  admin outbox skip EVENT-ID\n"
			      "  admin consumers list\n"
			      "  admin consumers parked [CONSUMER]\n"
			      "  admin consumers retry CONSUMER [--event EVENT-ID]\n"
			      "  admin consumers skip CONSUMER [--event EVENT-ID]\n"
			      "  admin consumers reset CONSUMER --to now|beginning\n"
			      "  admin export --email ADDRESS | --buyer ID [--organizer NAME]\n"
			      "  admin erase --email ADDRESS | --buyer ID [--organizer NAME] [--yes-future]\n"
			      "  admin backup FOLDER\n"
			      "  admin restore FOLDER | --finish [--refund-orphans]\n"
			      "  admin close-sales --how TEXT\n"
			      "  admin open-sales --how TEXT\n"
			      "Each with --database-url URL (the last four: --migrate-url, the owner's), or --dir "
			      "DIR of a running `boxoffice up`.\n";

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * US_PER_SECOND + now.tv_nsec / 1000;
}

/* The lists show a name as a field of a line. */
bool admin_name_is_good(const char *name)
{
	struct str s = str_from(name);

	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7F)
			return false;
	return str_utf8_valid(s) && str_utf8_length(s) <= 200;
}

static int organizer_create(const struct asked *a)
{
	char id[UUID_TEXT];
	struct uuid uuid = crypto_uuid_v7(now_us());
	const char *params[] = {uuid_format(&uuid, id), a->subject};
	PGresult *r;
	bool made;

	if (!admin_name_is_good(a->subject)) {
		fprintf(stderr,
			"boxoffice: an organiser's name has 1 to 200 characters, none of them a control character\n");
		return 2;
	}
	r = pg_sync_ask(a->pg, "organizer create", admin_sql_organizer_create.sql, 2, params);
	if (!r)
		return 1;
	made = PQntuples(r) == 1;
	PQclear(r);
	if (made)
		printf("%s\n", id);
	else
		fprintf(stderr, "boxoffice: there is an organiser \"%s\" already\n", a->subject);
	return made ? 0 : 1;
}

int admin_list(const struct asked *a, const char *what, const char *sql)
{
	PGresult *r = pg_sync_ask(a->pg, what, sql, 0, NULL);

	if (!r)
		return 1;
	for (int row = 0; row < PQntuples(r); row++)
		for (int col = 0; col < PQnfields(r); col++)
			printf("%s%c", PQgetvalue(r, row, col), col + 1 < PQnfields(r) ? '\t' : '\n');
	PQclear(r);
	return 0;
}

static int organizer_list(const struct asked *a)
{
	return admin_list(a, "organizer list", admin_sql_organizer_list.sql);
}

static int token_list(const struct asked *a)
{
	return admin_list(a, "token list", admin_sql_token_list.sql);
}

bool admin_scopes_read(const char *text, char *out, size_t size)
{
	struct str rest = str_from(strcmp(text, "all") == 0 ? "events,seats,bookings,payments,checkin,admin" : text),
		   one;
	unsigned seen = 0;
	size_t n = 0;

	out[n++] = '{';
	while (rest.n) {
		unsigned bit;

		rest = str_split(rest, ',', &one);
		one = str_trim(one);
		bit = auth_scope_from_name(one);
		if (!bit) {
			fprintf(stderr,
				"boxoffice: there is no scope \"%.*s\"; there are events, seats, bookings, payments, "
				"checkin, admin, and all\n",
				STR_FMT(one));
			return false;
		}
		if (seen & bit)
			continue;
		n += (size_t)snprintf(out + n, size - n, "%s%.*s", seen ? "," : "", STR_FMT(one));
		seen |= bit;
	}
	snprintf(out + n, size - n, "}");
	return seen != 0;
}

static int token_create(const struct asked *a)
{
	const char *organizer = a->options[OPT_ORGANIZER].value, *name = a->options[OPT_NAME].value;
	const char *scopes = a->options[OPT_SCOPES].value, *days = a->options[OPT_DAYS].value;
	char token[AUTH_TOKEN_TEXT], id[UUID_TEXT], hash[2 * CRYPTO_HASH + 1], array[200], expires[40] = "infinity";
	const char *params[] = {id, organizer, name, hash, array, expires};
	uint8_t digest[CRYPTO_HASH];
	struct uuid uuid;
	uint64_t n_days;
	PGresult *r;
	bool made;

	if (!organizer || !name || !*name || !scopes || !*scopes) {
		fprintf(stderr, "boxoffice: admin token create needs --organizer, --name and --scopes\n");
		return 2;
	}
	if (!admin_name_is_good(name)) {
		fprintf(stderr, "boxoffice: --name takes 1 to 200 characters, none of them a control character\n");
		return 2;
	}
	if (!admin_scopes_read(scopes, array, sizeof(array)))
		return 2;
	if (days) {
		if (!str_to_u64(str_from(days), 36500, &n_days) || n_days == 0) {
			fprintf(stderr, "boxoffice: --days takes a whole number from 1 to 36500\n");
			return 2;
		}
		time_format(now_us() + (int64_t)n_days * US_PER_DAY, expires);
	}
	auth_staff_token_new(now_us(), token, &uuid, digest);
	uuid_format(&uuid, id);
	hex_encode(digest, sizeof(digest), hash);
	r = pg_sync_ask(a->pg, "token create", admin_sql_token_create.sql, 6, params);
	if (!r)
		return 1;
	made = PQntuples(r) == 1;
	PQclear(r);
	if (!made) {
		fprintf(stderr, "boxoffice: there is no organiser \"%s\"\n", organizer);
		return 1;
	}
	printf("%s\n", token);
	fprintf(stderr, "boxoffice: this is token %s; it is not shown again\n", id);
	return 0;
}

static int token_revoke(const struct asked *a)
{
	const char *params[] = {a->subject};
	struct uuid uuid;
	PGresult *r;
	bool there;

	if (!uuid_parse(str_from(a->subject), &uuid)) {
		fprintf(stderr, "boxoffice: token revoke takes the id that `admin token list` shows\n");
		return 2;
	}
	r = pg_sync_ask(a->pg, "token revoke", admin_sql_token_revoke.sql, 1, params);
	if (!r)
		return 1;
	there = PQntuples(r) == 1;
	PQclear(r);
	if (!there)
		fprintf(stderr, "boxoffice: there is no token %s\n", a->subject);
	return there ? 0 : 1;
}

static int key_rotate(const struct asked *a)
{
	char path[PATH_MAX + 64];
	const char *file = a->config->secret_file;
	struct crypto_key master;
	int status;

	if (a->dir) {
		snprintf(path, sizeof(path), "%.*s/secret/master.key", PATH_MAX, a->dir);
		file = path;
	}
	if (!config_need(a->config, "admin key rotate", "secret-file", file) || !master_key_read(file, &master))
		return 2;
	status = ticket_key_rotate(a->config->database_url, &master);
	explicit_bzero(&master, sizeof(master));
	return status;
}

static int restore(const struct asked *a)
{
	bool finish = a->options[OPT_FINISH].value != NULL;

	if (finish == (a->subject != NULL)) {
		fprintf(stderr, "boxoffice: admin restore takes the folder of a backup, or --finish\n");
		return 2;
	}
	return finish ? admin_restore_finish(a) : admin_restore(a);
}

enum { NO_SUBJECT, A_SUBJECT, MAYBE_A_SUBJECT };

static const struct action {
	const char *noun, *verb; /* verb "": there is none */
	int subject;
	int (*run)(const struct asked *a);
	bool owner; /* as the role that owns the tables, where it is named */
} actions[] = {
	{"organizer", "create", A_SUBJECT, organizer_create, false},
	{"organizer", "list", NO_SUBJECT, organizer_list, false},
	{"token", "create", NO_SUBJECT, token_create, false},
	{"token", "list", NO_SUBJECT, token_list, false},
	{"token", "revoke", A_SUBJECT, token_revoke, false},
	{"user", "add", NO_SUBJECT, admin_user_add, false},
	{"user", "list", NO_SUBJECT, admin_user_list, false},
	{"user", "passwd", NO_SUBJECT, admin_user_passwd, false},
	{"user", "disable", NO_SUBJECT, admin_user_disable, false},
	{"key", "rotate", NO_SUBJECT, key_rotate, false},
	{"payments", "list", NO_SUBJECT, admin_payments_list, false},
	{"payments", "settle", A_SUBJECT, admin_payments_settle, false},
	{"payments", "retry-refund", A_SUBJECT, admin_payments_retry, false},
	{"notifications", "list", NO_SUBJECT, admin_notifications_list, false},
	{"notifications", "retry", MAYBE_A_SUBJECT, admin_notifications_retry, false},
	{"outbox", "list", NO_SUBJECT, admin_outbox_list, false},
	{"outbox", "retry", A_SUBJECT, admin_outbox_retry, false},
	{"outbox", "skip", A_SUBJECT, admin_outbox_skip, false},
	{"consumers", "list", NO_SUBJECT, admin_consumers_list, false},
	{"consumers", "parked", MAYBE_A_SUBJECT, admin_consumers_parked, false},
	{"consumers", "retry", A_SUBJECT, admin_consumers_retry, false},
	{"consumers", "skip", A_SUBJECT, admin_consumers_skip, false},
	{"consumers", "reset", A_SUBJECT, admin_consumers_reset, false},
	{"erase", "", NO_SUBJECT, admin_buyer_erase, false},
	{"export", "", NO_SUBJECT, admin_buyer_export, false},
	{"backup", "", A_SUBJECT, admin_backup, true},
	{"restore", "", MAYBE_A_SUBJECT, restore, true},
	{"close-sales", "", NO_SUBJECT, admin_close_sales, true},
	{"open-sales", "", NO_SUBJECT, admin_open_sales, true},
};

int admin_main(int argc, char **argv)
{
	struct config_extra options[] = {
		[OPT_DIR] = {"dir", true, "Use the `boxoffice up` that runs in this folder.", NULL},
		[OPT_ORGANIZER] =
			{"organizer", true,
			 "Of a new token or user: whose it is, by name; of erase and export: only this one's.", NULL},
		[OPT_NAME] = {"name", true, "Of a new token: what it is for.", NULL},
		[OPT_SCOPES] = {"scopes", true,
				"Of a new token or user: events,seats,bookings,payments,checkin,admin or all.", NULL},
		[OPT_DAYS] = {"days", true, "Of a new token: how long it is valid. [for ever]", NULL},
		[OPT_EMAIL] = {"email", true, "Of erase, export and user: the person's address.", NULL},
		[OPT_BUYER] = {"buyer", true, "Of erase and export: one record of a person.", NULL},
		[OPT_YES_FUTURE] = {"yes-future", false,
				    "Of erase: also somebody with bookings for shows that are still to come.", NULL},
		[OPT_ALL] = {"all", false,
			     "Of payments list: also what is settled; of outbox list: also what was left out; of "
			     "notifications list: also what was sent; of retry: all that failed.",
			     NULL},
		[OPT_HOW] =
			{"how", true,
			 "Of payments settle: what was done, of close-sales and open-sales: why; a sentence without "
			 "personal data.",
			 NULL},
		[OPT_BY] = {"by", true, "Of payments: who does it. [the system's name of you]", NULL},
		[OPT_FINISH] = {"finish", false,
				"Of restore: everything was brought back; reconcile, check and open sales.", NULL},
		[OPT_REFUND_ORPHANS] = {"refund-orphans", false,
					"Of restore --finish: give back what was paid after the backup.", NULL},
		[OPT_EVENT] = {"event", true,
			       "Of consumers retry and skip: only the event of this id. [all that are parked]", NULL},
		[OPT_TO] = {"to", true, "Of consumers reset: now or beginning.", NULL},
		{0},
	};
	const struct action *action = NULL;
	struct up_state up = {0};
	struct config config;
	struct asked a = {.config = &config, .options = options};
	char command[80];
	int used, status;

	for (size_t i = 0; argc >= 1 && i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(actions[i].noun, argv[0]) == 0 &&
		    (!actions[i].verb[0] || (argc >= 2 && strcmp(actions[i].verb, argv[1]) == 0)))
			action = &actions[i];
	if (!action) {
		bool help = argc >= 1 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0);

		fprintf(help ? stdout : stderr, "Usage:\n%s", summary);
		return help ? 0 : 2;
	}
	used = action->verb[0] ? 2 : 1;
	snprintf(command, sizeof(command), "boxoffice admin %s%s%s", action->noun, action->verb[0] ? " " : "",
		 action->verb);
	if (action->subject != NO_SUBJECT && argc > used && argv[used][0] != '-')
		a.subject = argv[used++];
	status = config_read(command, summary, argc - used, argv + used, options, &config);
	if (status >= 0)
		return status;
	if (action->subject == A_SUBJECT && (!a.subject || !*a.subject)) {
		fprintf(stderr, "boxoffice: admin %s%s%s needs to be told which; usage:\n%s", action->noun,
			action->verb[0] ? " " : "", action->verb, summary);
		return 2;
	}
	a.dir = options[OPT_DIR].value;
	if (a.dir) {
		if (!up_state_read(a.dir, &up))
			return 2;
		config.database_url = up.database_url;
	}
	if (!(action->owner && config.migrate_url[0]) &&
	    !config_need(&config, command, "database-url (or --dir)", config.database_url))
		return 2;
	if (!crypto_init()) {
		fprintf(stderr, "boxoffice: the system gives no random numbers\n");
		return 1;
	}
	a.url = config.database_url;
	if (action->owner && !options[OPT_FINISH].value && config.migrate_url[0])
		a.url = config.migrate_url;
	a.pg = pg_sync_open(a.url, "boxoffice admin");
	status = a.pg ? action->run(&a) : 1;
	PQfinish(a.pg);
	up_state_done(&up);
	return status;
}
