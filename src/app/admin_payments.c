/*
 * `boxoffice admin payments`: what about payments waits for a person, in words, and how a person says that it was seen to.
 * Findings are made by the settling, the orphan scan and the webhooks (src/payment); what is not through after long is shown
 * from its own row, also when nothing runs that would find it. Blocks.
 */
#include "app/admin_int.h"
#include "app/admin_sql.h"
#include "app/app.h"
#include "app/migrate.h"
#include "base/money.h"
#include "io/loop.h"
#include "payment/payment_sql.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HOW_MAX = 500 };

/* What a person does about each kind. %s: what it is about. */
static const struct {
	const char *kind, *todo;
} todos[] = {
	{"refund_failed",
	 "`boxoffice admin payments retry-refund %s` sends it again, or what is left when a part was given "
	 "back at the gateway by hand; or give the money back in another way and settle this"},
	{"refund_spent",
	 "the gateway has nothing left of this payment to give back: see what it went for, give the buyer "
	 "what is missing in another way, then settle this"},
	{"refund_reversed", "the buyer does not have the money: give it back in another way (the gateway's refund is "
			    "spent), then settle this"},
	{"foreign_refund",
	 "somebody gave money back at the gateway: cancel the seats it was for if they are still sold, then "
	 "settle this; from then on `boxoffice check` counts it as given back"},
	{"dispute", "answer it at the gateway in time, then settle this with its outcome"},
	{"orphan_intent", "look it up at the gateway: whose is it? Cancel it there if it is nobody's; it is looked at "
			  "again in the next scan"},
	{"orphan_payment", "money without a booking (a database restored to an earlier time?): give it back at the "
			   "gateway or book by hand, then settle this"},
	{"second_intent",
	 "compare both intents at the gateway, cancel or refund the one that is not the attempt's, then settle this"},
	{"amount_differs",
	 "compare the intent at the gateway with the booking, give back or ask for the difference, then settle this"},
	{"capture_missing", "the booking counts as paid but is not: is this the gateway's right account? Collect the "
			    "money or cancel the booking, then settle this"},
	{"", "look into it, then settle this"},
};

/* A refused refund that the gateway would refuse again. */
static const char *todo_of(const char *kind, const char *detail)
{
	bool spent = strcmp(kind, "refund_failed") == 0 && strcmp(detail, "charge_already_refunded") == 0;

	return spent ? "refund_spent" : kind;
}

static void print_todo(const char *kind, const char *subject)
{
	size_t i = 0;

	while (*todos[i].kind && strcmp(todos[i].kind, kind) != 0)
		i++;
	printf("    do: ");
	for (const char *p = todos[i].todo; *p; p++)
		if (p[0] == '%' && p[1] == 's') {
			printf("%s", subject);
			p++;
		} else {
			putchar(*p);
		}
	putchar('\n');
}

static void print_money(const char *amount, const char *currency)
{
	const struct currency *known = currency_find(str_from(currency));
	char text[MONEY_TEXT_MAX];

	if (!known) {
		printf("%s %s", amount, *currency ? currency : "(no currency)");
		return;
	}
	money_format((struct money){strtoll(amount, NULL, 10), known}, text);
	printf("%s", text);
}

static void print_finding(const PGresult *r, int i)
{
	const char *kind = PQgetvalue(r, i, 1), *times = PQgetvalue(r, i, 5), *gateway = PQgetvalue(r, i, 7);
	const char *subject = PQgetvalue(r, i, 8), *reference = PQgetvalue(r, i, 9), *settled = PQgetvalue(r, i, 10);
	bool refund = strncmp(kind, "refund_", 7) == 0;

	printf("%s  %s  ", PQgetvalue(r, i, 0), kind);
	print_money(PQgetvalue(r, i, 2), PQgetvalue(r, i, 3));
	printf("  found %s ago, seen %s time%s\n", PQgetvalue(r, i, 4), times, strcmp(times, "1") == 0 ? "" : "s");
	printf("    %s", PQgetvalue(r, i, 6));
	if (*reference)
		printf("; booking %s", reference);
	if (*subject)
		printf("; %s %s", refund ? "refund" : "attempt", subject);
	if (*gateway)
		printf("; at the gateway %s", gateway);
	putchar('\n');
	if (*settled)
		printf("    settled %s\n", settled);
	else
		print_todo(todo_of(kind, PQgetvalue(r, i, 6)), subject);
}

static void print_unsettled(const PGresult *r, int i)
{
	bool overdue = PQgetvalue(r, i, 9)[0] == 't';

	printf("%s %s  %s  ", PQgetvalue(r, i, 0), PQgetvalue(r, i, 1), PQgetvalue(r, i, 2));
	print_money(PQgetvalue(r, i, 3), PQgetvalue(r, i, 4));
	printf("  for %s, looked at %s times\n", PQgetvalue(r, i, 5), PQgetvalue(r, i, 6));
	printf("    booking %s; at the gateway %s\n", PQgetvalue(r, i, 8),
	       *PQgetvalue(r, i, 7) ? PQgetvalue(r, i, 7) : "not known");
	printf("    do: %s\n",
	       overdue ? "nobody settles payments: does `boxoffice work` run, and reach the database?"
		       : "can the gateway be reached, does it take our key? It is asked again about every minute; "
			 "look it up there");
}

int admin_payments_list(const struct asked *a)
{
	const char *params[] = {a->options[OPT_ALL].value ? "true" : "false"};
	PGresult *findings = pg_sync_ask(a->pg, "payments list", admin_sql_payments_findings.sql, 1, params),
		 *unsettled = findings ? pg_sync_ask(a->pg, "payments list", admin_sql_payments_unsettled.sql, 0, NULL)
				       : NULL;
	int open = 0, status = unsettled ? 0 : 1;

	for (int i = 0; unsettled && i < PQntuples(findings); i++) {
		print_finding(findings, i);
		open += *PQgetvalue(findings, i, 10) == '\0';
	}
	for (int i = 0; unsettled && i < PQntuples(unsettled); i++)
		print_unsettled(unsettled, i);
	if (unsettled && open + PQntuples(unsettled) == 0)
		printf("Nothing waits for a person: no finding is open, and no payment or refund is unsettled for "
		       "long.\n");
	else if (unsettled)
		printf("Open findings: %d. Unsettled for long: %d.\n", open, PQntuples(unsettled));
	PQclear(findings);
	PQclear(unsettled);
	return status;
}

/* Who does it; NULL after a sentence. "reconciler" is the program's own name: what it settled opens again. */
static const char *who(const struct asked *a)
{
	const char *name = a->options[OPT_BY].value;
	const struct passwd *pw;

	if (!name)
		name = getenv("SUDO_USER");
	if (!name || !*name) {
		pw = getpwuid(getuid());
		name = pw ? pw->pw_name : NULL;
	}
	if (!name || !*name || !admin_name_is_good(name) || strcmp(name, "reconciler") == 0) {
		fprintf(stderr, "boxoffice: --by takes who does it, 1 to 200 characters, and not \"reconciler\"\n");
		return NULL;
	}
	return name;
}

int admin_payments_settle(const struct asked *a)
{
	const char *how = a->options[OPT_HOW].value, *by;
	const char *params[3];
	struct uuid id;
	PGresult *r;
	int status = 1;

	if (!uuid_parse(str_from(a->subject), &id)) {
		fprintf(stderr, "boxoffice: payments settle takes the finding's id that `admin payments list` shows\n");
		return 2;
	}
	if (!how || !*how || strlen(how) > HOW_MAX || strpbrk(how, "\r\n\t") || !str_utf8_valid(str_from(how))) {
		fprintf(stderr,
			"boxoffice: payments settle needs --how, a line of 1 to %d bytes that says what was done\n",
			HOW_MAX);
		return 2;
	}
	by = who(a);
	if (!by)
		return 2;
	params[0] = a->subject;
	params[1] = by;
	params[2] = how;
	r = pg_sync_ask(a->pg, "payments settle", admin_sql_finding_settle.sql, 3, params);
	if (!r)
		return 1;
	if (PQntuples(r) == 0) {
		fprintf(stderr, "boxoffice: there is no finding %s\n", a->subject);
	} else if (PQgetvalue(r, 0, 1)[0] != 't') {
		fprintf(stderr, "boxoffice: finding %s was settled before, by %s\n", a->subject, PQgetvalue(r, 0, 2));
	} else {
		printf("settled: %s %s\n", PQgetvalue(r, 0, 0), a->subject);
		status = 0;
	}
	PQclear(r);
	return status;
}

static void new_id(char out[UUID_TEXT])
{
	struct uuid id = crypto_uuid_v7(wall_now_us());

	uuid_format(&id, out);
}

/* In the transaction: the rows must be there. NULL after a sentence. */
static PGresult *some(const struct asked *a, const char *sql, int n, const char *const *params, const char *otherwise)
{
	PGresult *r = pg_sync_ask(a->pg, "payments retry-refund", sql, n, params);

	if (r && PQntuples(r) == 0) {
		fprintf(stderr, "boxoffice: %s\n", otherwise);
		PQclear(r);
		return NULL;
	}
	return r;
}

/* false: nothing is to be committed. */
static bool retry(const struct asked *a, const char *by, char refund[UUID_TEXT])
{
	char event[UUID_TEXT], outbox[UUID_TEXT], how[100];
	PGresult *found, *locked = NULL, *made = NULL, *settled = NULL;
	bool ok = false;

	found = some(a, admin_sql_finding_of_refund.sql, 1, &a->subject,
		     "there is no failed refund of that id that waits for a person; `admin payments list` shows those "
		     "that do");
	if (!found)
		return false;
	const char *show = PQgetvalue(found, 0, 1), *booking = PQgetvalue(found, 0, 2);
	const char *lock[] = {show, booking}, *again[] = {show, a->subject, refund, event, outbox, by},
		   *settle[] = {PQgetvalue(found, 0, 0), by, how};

	new_id(refund);
	new_id(event);
	new_id(outbox);
	snprintf(how, sizeof(how), "sent again as refund %s", refund);
	/* the order of locks: payments first; what is left of one is counted by a statement that begins afterwards */
	locked = pg_sync_ask(a->pg, "payments retry-refund", payment_sql_payments_lock.sql, 2, lock);
	if (locked)
		made = some(a, admin_sql_refund_retry.sql, 6, again,
			    "the payment does not have that much left: it was given back in another way. "
			    "If all is well, settle the finding");
	if (made)
		settled = pg_sync_ask(a->pg, "payments retry-refund", admin_sql_finding_settle.sql, 3, settle);
	if (settled && PQntuples(settled) && PQgetvalue(settled, 0, 1)[0] == 't') {
		printf("%s  ", refund);
		print_money(PQgetvalue(made, 0, 0), PQgetvalue(made, 0, 1));
		ok = true;
	} else if (settled) {
		fprintf(stderr, "boxoffice: somebody else is seeing to this refund; nothing was done\n");
	}
	PQclear(found);
	PQclear(locked);
	PQclear(made);
	PQclear(settled);
	return ok;
}

int admin_payments_retry(const struct asked *a)
{
	const char *by = who(a);
	char refund[UUID_TEXT];
	struct uuid id;

	if (!uuid_parse(str_from(a->subject), &id)) {
		fprintf(stderr,
			"boxoffice: payments retry-refund takes the id of a refund that `admin payments list` shows\n");
		return 2;
	}
	if (!by)
		return 2;
	if (!pg_sync_do(a->pg, "payments retry-refund", "BEGIN"))
		return 1;
	if (!retry(a, by, refund)) {
		pg_sync_do(a->pg, "payments retry-refund", "ROLLBACK");
		return 1;
	}
	if (!pg_sync_do(a->pg, "payments retry-refund", "COMMIT")) {
		fprintf(stderr, "\nboxoffice: whether it was taken is not known; `admin payments list` shows\n");
		return 1;
	}
	printf("  requested; `boxoffice work` sends it now\n");
	return 0;
}
