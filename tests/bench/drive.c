/* The scenarios, and the program from its options to its result. */
#include "drive.h"
#include "drive_scenarios.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static const struct scenario scenarios[] = {
	{"get",
	 "GET --path, with the lines of --header",
	 {get_request, get_answer},
	 .setup = get_setup,
	 .arrival = get_arrival},
	{"lock",
	 "locks of --seats seats by a walk over all seats, over many shows by turns",
	 {lock_request, lock_answer},
	 .needs_shows = true,
	 .judges_refusals = true,
	 .setup = lock_setup,
	 .arrival = lock_arrival},
	{"lock-hot",
	 "locks of random seats among the first --hot: some are accepted, most are refused",
	 {lock_request, hot_answer},
	 .needs_shows = true,
	 .setup = hot_setup,
	 .arrival = hot_arrival},
	{"refuse",
	 "locks of seats that somebody has; the refusals are what counts as accepted",
	 {lock_request, refuse_answer},
	 .needs_shows = true,
	 .setup = refuse_setup,
	 .arrival = refuse_arrival},
	{"lone",
	 "one buyer, one request at a time: by turns a lock and GET --path",
	 {lone_request, lone_answer},
	 .needs_shows = true,
	 .judges_refusals = true,
	 .setup = lone_setup,
	 .begin = lone_begin},
	{"rush",
	 "winners lock free seats at --rate, --losers times as many ask for taken ones",
	 {lock_request, rush_answer},
	 .needs_shows = true,
	 .judges_refusals = true,
	 .setup = rush_setup,
	 .arrival = rush_arrival},
	{"overload",
	 "as lock, but 503 and 429 are good answers, and buyers leave after --patience-ms without a connection",
	 {lock_request, overload_answer},
	 .needs_shows = true,
	 .setup = overload_setup,
	 .arrival = lock_arrival},
	{"idle",
	 "--idle connections that say nothing, and a few locks besides",
	 {lock_request, lock_answer},
	 .needs_shows = true,
	 .judges_refusals = true,
	 .setup = lock_setup,
	 .arrival = lock_arrival},
	{"journey",
	 "lock and booking, paid at once, until the seats are sold; then the next show",
	 {journey_request, journey_answer},
	 .needs_shows = true,
	 .judges_refusals = true,
	 .setup = journey_setup,
	 .arrival = journey_arrival,
	 .finish = journey_finish},
	{"onsale",
	 "a rush of --buyers for one show: map, seats, lock, payment, until it is sold out",
	 {onsale_request, onsale_answer},
	 .needs_shows = true,
	 .setup = onsale_setup,
	 .begin = onsale_begin,
	 .tick = onsale_tick,
	 .report = onsale_report,
	 .judge = onsale_judge,
	 .finish = onsale_finish},
};

enum { N_SCENARIOS = sizeof(scenarios) / sizeof(*scenarios), OUTPUT_MAX = 1 << 20 };

static const struct scenario *find_scenario(const char *name)
{
	for (int i = 0; i < N_SCENARIOS; i++)
		if (strcmp(scenarios[i].name, name) == 0)
			return &scenarios[i];
	return NULL;
}

/* As many descriptors as we may have: thousands of connections are the point. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static bool descriptors_suffice(const struct options *o)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && (rlim_t)(o->connections + o->idle) + 32 > limit.rlim_cur) {
		fprintf(stderr,
			"bench_drive: --connections %d and --idle %d are more than the %llu descriptors allowed.\n",
			o->connections, o->idle, (unsigned long long)limit.rlim_cur);
		return false;
	}
	return true;
}

/* The exit status. */
static int drive(const struct options *o, const struct scenario *scenario, struct shows shows)
{
	struct drive d = {.o = o,
			  .scenario = scenario,
			  .talk = &scenario->talk,
			  .shows = shows,
			  .n_streams = 1,
			  .streams = {{.share = 1}}};
	struct buf out, ramp_json;
	struct stats best;
	struct jw ramp;
	bool clean;

	buf_init(&out, OUTPUT_MAX);
	buf_init(&ramp_json, OUTPUT_MAX);
	jw_init(&ramp, &ramp_json);
	loop_init(&d);
	stats_init(&best);
	if (setup_connections(&d) && (!scenario->setup || scenario->setup(&d)) && idle_open(&d)) {
		if (o->ramp)
			run_ramp(&d, &best, &ramp);
		else
			run_once(&d);
	}
	if (scenario->judge && d.own && !d.interrupted)
		scenario->judge(&d);
	if (!o->ramp || !ramp_json.n)
		stats_copy(&best, &d.stats);
	report(&d, &best, buf_str(&ramp_json), &out);
	fwrite(out.p, 1, out.n, stdout);
	clean = stats_clean(&best) && !d.interrupted;
	if (d.own)
		scenario->finish(&d);
	idle_close(&d);
	loop_done(&d);
	stats_done(&best);
	shows_done(&d.shows);
	free(d.tokens);
	free(d.get);
	buf_done(&ramp_json);
	buf_done(&out);
	return clean ? 0 : 1;
}

int main(int argc, char **argv)
{
	const struct scenario *scenario;
	struct options o;
	struct shows shows = {0};
	char why[300];
	struct buf text, names;
	int status = 2;

	buf_init(&text, OUTPUT_MAX);
	buf_init(&names, OUTPUT_MAX);
	for (int i = 0; i < N_SCENARIOS; i++)
		buf_addf(&names, "  %-10s %s\n", scenarios[i].name, scenarios[i].what);
	raise_limit();
	switch (options_read(argc - 1, argv + 1, names.p, &o, &text)) {
	case OPTIONS_HELP:
		fputs(text.p, stdout);
		status = 0;
		break;
	case OPTIONS_WRONG:
		fputs(text.p, stderr);
		break;
	case OPTIONS_OK:
		scenario = find_scenario(o.scenario);
		if (!scenario)
			fprintf(stderr, "bench_drive: there is no scenario \"%.40s\". The scenarios:\n%s", o.scenario,
				names.p);
		else if (scenario->needs_shows && !o.shows_file)
			fprintf(stderr, "bench_drive: --shows FILE is needed for %s.\n", scenario->name);
		else if (o.shows_file && !shows_read(&shows, o.shows_file, why, sizeof(why)))
			fprintf(stderr, "bench_drive: %s.\n", why);
		else if (descriptors_suffice(&o))
			status = drive(&o, scenario, shows);
		break;
	}
	buf_done(&text);
	buf_done(&names);
	return status;
}
