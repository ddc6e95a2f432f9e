/*
 * explore                       the runs of `script/test`: everything holds, every arrow is taken
 * explore --teeth               every guard is taken away, by itself or with what covers it: each time something breaks
 * explore --crashes 1 ...       one run of another bound
 * explore --without a,b         without these guards; the shortest way to what breaks is told
 */
#include "explore.h"

#include "base/cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const struct guard_name guard_names[GUARDS] = {
	[GUARD_GENERATION] = {"generation", "a statement is guarded by the attempt's generation"},
	[GUARD_REQUEST_GENERATION] = {"request-generation",
				      "a request knows its attempt as it was made, not as others left it"},
	[GUARD_STATE] = {"state", "an arrow is guarded by the states it may come from"},
	[GUARD_UNIQUE_OWNER] = {"unique-owner", "a seat has one live row in booking_seats"},
	[GUARD_LOCK_PAYING] = {"lock-paying", "authorising needs a lock that is being paid and has its seat"},
	[GUARD_PAYING_STOPS_CLOCK] = {"paying-stops-clock", "no clock touches the seat of a lock that is being paid"},
	[GUARD_ONE_TRANSACTION] = {"one-transaction", "attempt, booking and seats move in one transaction"},
	[GUARD_BOOK_FIRST] = {"book-first", "the capture's row is committed with the booking, not before"},
	[GUARD_CONFIRM_ROW] = {"confirm-row", "the confirmation's row is committed before its bytes leave"},
	[GUARD_CANCEL_FIRST] = {"cancel-first", "an unconfirmed intent is cancelled before the lock goes back"},
	[GUARD_CANCEL_STANDS] = {"cancel-stands", "once its cancellation was asked for, an intent is not booked"},
	[GUARD_BOUND_RULE] = {"bound-rule",
			      "past the bound of everything an attempt is abandoned, whatever the gateway holds"},
	[GUARD_BOUND_ROW] = {"bound-row", "authorising is guarded by that bound, also for who slept since it decided"},
	[GUARD_NEW_KEY] = {"new-key", "after a 5xx the next try has a new key"},
	[GUARD_VOID_AFTER_END] = {"void-after-end", "the gateway is told of attempts that ended here"},
	[GUARD_REFUND_WHEN_CAPTURED] = {"refund-when-captured", "a refund waits for the proof of the capture"},
	[GUARD_REFUND_AFTER_VOID] = {"refund-after-void", "what was taken although the attempt had ended goes back"},
	[GUARD_LIST_FIRST] = {"list-first", "a refund that was sent is looked for before it is sent again"},
	[GUARD_REFUND_GENERATION] = {"refund-generation", "only who took a refund last sends it and writes down a 5xx"},
	[GUARD_REFUND_KEY] = {"refund-key", "a refund has a new key only after the gateway's own 500"},
};

/* Within the bound of each, everything is gone through. Together they take every arrow. */
static const struct bound standard[] = {
	{.crashes = 1, .losses = 1, .sleepers = 1},
	{.crashes = 1, .losses = 2},
	{.sleepers = 1, .strays = 1},
};

/* Drawn and in its SQL file, but nothing decides it: after the booking the money is given back, not voided. */
static bool decided_by_nothing(const struct payment_arrow *a)
{
	return a->from == PAYMENT_AUTHORISED && a->to == PAYMENT_VOIDED;
}

/* What breaks without it, or that nothing does because something else stands behind it. */
static const struct tooth {
	const char *without;
	struct bound bound;
	const char *breaks; /* how it begins; NULL: it holds */
	bool lenient;
} teeth[] = {
	{"generation", {.sleepers = 1}, "an overtaken drive", false},
	{"generation", {.sleepers = 1}, "I4", true},
	{"request-generation", {.sleepers = 1}, "I4", false},
	{"generation,state", {.sleepers = 1}, "a transaction went", true},
	{"unique-owner,lock-paying", {.strays = 1}, "I1: the seat has two owners", false},
	{"unique-owner,lock-paying,paying-stops-clock", {.sleepers = 1}, "I1: the seat has two owners", false},
	{"one-transaction", {.crashes = 1}, "I3", false},
	{"book-first", {0}, "I3", false},
	{"confirm-row", {.crashes = 1}, "I3", false},
	{"cancel-first", {.crashes = 1}, "I3", false},
	{"cancel-stands", {.losses = 1, .sleepers = 1}, "I3: a booking's money", false},
	{"bound-rule", {.crashes = 1}, "I4: nothing fails any more", false},
	{"bound-row", {0}, "I4: an attempt was booked past", false},
	{"bound-rule,bound-row", {.crashes = 1}, "I4: an attempt was booked past", false},
	{"new-key", {.losses = 1}, "I4", false},
	{"void-after-end", {.losses = 1}, "I3", false},
	{"refund-when-captured", {.losses = 1, .sleepers = 1}, "I3", false},
	{"refund-after-void", {.losses = 1, .sleepers = 1}, "I3", false},
	{"list-first", {.losses = 1}, "I3: one refund was paid out twice", false},
	{"refund-generation", {.losses = 1, .sleepers = 1}, "I3: one refund was paid out twice", false},
	{"refund-key", {.losses = 1, .sleepers = 1}, "I3: one refund was paid out twice", false},
	/* each of these stands behind another: by itself nothing breaks without it */
	{"state", {.sleepers = 1}, NULL, false},
	{"unique-owner", {.sleepers = 1, .strays = 1}, NULL, false},
	{"lock-paying", {.sleepers = 1, .strays = 1}, NULL, false},
	{"paying-stops-clock", {.sleepers = 1}, NULL, false},
};

static bool without(struct model *m, const char *names)
{
	struct str rest = str_from(names), one;

	while (rest.n) {
		int g = 0;

		rest = str_split(rest, ',', &one);
		while (g < GUARDS && !str_eqc(one, guard_names[g].name))
			g++;
		if (g == GUARDS) {
			fprintf(stderr, "explore: there is no guard \"%.*s\"; see --guards\n", STR_FMT(one));
			return false;
		}
		m->without[g] = true;
	}
	return true;
}

static void say_bound(const struct bound *b)
{
	printf("crashes %" PRId64 ", losses %" PRId64 ", sleepers %" PRId64 ", strays %" PRId64 ": ", b->crashes,
	       b->losses, b->sleepers, b->strays);
}

static bool run(struct model *m, uint32_t max, struct report *r)
{
	say_bound(&m->bound);
	fflush(stdout);
	search(m, max, stdout, r);
	printf("%s%" PRIu64 " states, %" PRIu64 " steps, %" PRIu64 " ends, at most %" PRIu64 " steps deep, %" PRId64
	       " ms\n",
	       r->verdict == VERDICT_HOLDS    ? "holds; "
	       : r->verdict == VERDICT_BROKEN ? "BROKEN; "
					      : "TOO MANY STATES; ",
	       r->states, r->steps, r->ends, r->longest, r->took_ms);
	if (m->late_full)
		printf("%" PRIu64 " calls found no room to be late\n", m->late_full);
	return r->verdict == VERDICT_HOLDS;
}

/* ---- every arrow ---- */

static int untaken(const struct model *m)
{
	int faults = 0;

	for (size_t i = 0; i < payment_arrows_n; i++)
		if ((m->payment_arrows >> i & 1) == decided_by_nothing(&payment_arrows[i])) {
			printf("%s, %s -> %s, is %s\n", payment_arrows[i].file,
			       payment_state_name(payment_arrows[i].from), payment_state_name(payment_arrows[i].to),
			       decided_by_nothing(&payment_arrows[i]) ? "taken after all: say so" : "never taken");
			faults++;
		}
	for (size_t i = 0; i < refund_arrows_n; i++)
		if (!(m->refund_arrows >> i & 1)) {
			printf("%s, from %s, is never taken\n", refund_arrows[i].file,
			       refund_state_name(refund_arrows[i].from));
			faults++;
		}
	for (size_t i = 0; i < booking_arrows_n; i++)
		if (!(m->booking_arrows >> i & 1)) {
			printf("%s is never taken\n", booking_arrows[i].file);
			faults++;
		}
	for (size_t i = 0; i < lock_arrows_n; i++)
		/* the model has no shows that are called off: to payments that release is one like its owner's */
		if (!(m->lock_arrows >> i & 1) && strcmp(lock_arrows[i].file, "locks_call_off") != 0) {
			printf("%s, from %s, is never taken\n", lock_arrows[i].file,
			       lock_state_name(lock_arrows[i].from));
			faults++;
		}
	/* nothing is done only with what nobody takes */
	for (int a = DO_NOTHING + 1; a <= DO_REFUND_ALL; a++)
		if (!(m->actions >> a & 1)) {
			printf("\"%s\" is never decided\n", payment_action_name((enum payment_action)a));
			faults++;
		}
	return faults;
}

static int run_standard(uint32_t max)
{
	struct model m = {0};
	struct report r;
	int faults = 0;

	for (size_t i = 0; i < sizeof(standard) / sizeof(standard[0]); i++) {
		m.bound = standard[i];
		faults += !run(&m, max, &r);
	}
	return faults + untaken(&m);
}

/* ---- every guard ---- */

static bool bites(const struct tooth *t, uint32_t max)
{
	struct model m = {.bound = t->bound, .lenient = t->lenient};
	struct report r;

	if (!without(&m, t->without))
		return false;
	printf("without %s%s; ", t->without,
	       t->lenient ? " (what an overtaken drive changes is no fault by itself)" : "");
	run(&m, max, &r);
	if (!t->breaks && r.verdict != VERDICT_HOLDS)
		printf("FAULT: something was thought to stand behind it\n");
	else if (t->breaks && (r.verdict != VERDICT_BROKEN || strncmp(r.why, t->breaks, strlen(t->breaks)) != 0))
		printf("FAULT: expected \"%s...\"\n", t->breaks);
	else
		return true;
	return false;
}

static int run_teeth(uint32_t max)
{
	bool named[GUARDS] = {false};
	int faults = 0;

	for (size_t i = 0; i < sizeof(teeth) / sizeof(teeth[0]); i++) {
		struct model m = {0};

		faults += !bites(&teeth[i], max);
		for (int g = 0; teeth[i].breaks && without(&m, teeth[i].without) && g < GUARDS; g++)
			named[g] |= m.without[g];
		printf("\n");
	}
	for (int g = 0; g < GUARDS; g++)
		if (!named[g]) {
			printf("FAULT: nothing shows what %s is for\n", guard_names[g].name);
			faults++;
		}
	return faults;
}

static const struct cli_option options[] = {
	{"crashes", "N", "drives that die, or never learn of their COMMIT: 0 to 3"},
	{"losses", "N", "calls without an answer, with a 5xx, or arriving late: 0 to 7"},
	{"sleepers", "N", "take-overs while somebody is at it: 0 to 3"},
	{"strays", "N", "locks that a bug elsewhere ends while they are paid: 0 or 1"},
	{"without", "GUARDS", "take these guards away, separated by commas"},
	{"patient", NULL, "who was overtaken may find it out at any later time (more states, nothing new)"},
	{"lenient", NULL, "what an overtaken drive changes is no fault by itself"},
	{"max", "N", "states to give up at (default: 30000000)"},
	{"teeth", NULL, "take every guard away in turn: each time something has to break"},
	{"guards", NULL, "list the guards"},
	{0},
};
static const struct cli cli = {"explore", "Goes through every state of the payment state machine.", options, NULL, 0,
			       0};

static int run_one(const struct cli_args *args, uint32_t max)
{
	struct model m = {.patient = cli_flag(args, "patient"), .lenient = cli_flag(args, "lenient")};
	struct error e = {0};
	struct report r;

	if (!cli_number(args, "crashes", 0, 3, 0, &m.bound.crashes, &e) ||
	    !cli_number(args, "losses", 0, 7, 0, &m.bound.losses, &e) ||
	    !cli_number(args, "sleepers", 0, 3, 0, &m.bound.sleepers, &e) ||
	    !cli_number(args, "strays", 0, 1, 0, &m.bound.strays, &e)) {
		fprintf(stderr, "explore: %s\n", e.detail);
		return 2;
	}
	if (!without(&m, cli_value(args, "without", "")))
		return 2;
	return !run(&m, max, &r);
}

int main(int argc, char **argv)
{
	static const char *const bounds[] = {"crashes", "losses", "sleepers", "strays", "without"};
	struct cli_args args;
	struct error e = {0};
	struct buf help;
	int64_t max = 0;

	switch (cli_read(&cli, argc - 1, argv + 1, &args, &e)) {
	case CLI_HELP:
		buf_init(&help, 16384);
		cli_help(&cli, &help);
		fwrite(help.p, 1, help.n, stdout);
		buf_done(&help);
		return 0;
	case CLI_WRONG:
		fprintf(stderr, "explore: %s\n", e.detail);
		return 2;
	case CLI_OK:
		break;
	}
	if (!cli_number(&args, "max", 1, 1000000000, 30000000, &max, &e)) {
		fprintf(stderr, "explore: %s\n", e.detail);
		return 2;
	}
	if (cli_flag(&args, "guards")) {
		for (int g = 0; g < GUARDS; g++)
			printf("%-22s %s\n", guard_names[g].name, guard_names[g].what);
		return 0;
	}
	if (cli_flag(&args, "teeth"))
		return run_teeth((uint32_t)max) != 0;
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++)
		if (cli_value(&args, bounds[i], NULL))
			return run_one(&args, (uint32_t)max);
	if (cli_flag(&args, "patient") || cli_flag(&args, "lenient"))
		return run_one(&args, (uint32_t)max);
	return run_standard((uint32_t)max) != 0;
}
