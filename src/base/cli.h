/*
 * The arguments of a subcommand, from one table that --help is made from as well.
 *
 *	static const struct cli_option options[] = {
 *		{"dir", "DIR", "where the data lives (default: var)"},
 *		{"no-demo", NULL, "start without the demo venue"},
 *		{0},
 *	};
 *	static const struct cli cli = {"boxoffice up", "Starts everything on this machine.", options};
 *	struct cli_args args;
 *	struct error e = {0};
 *
 *	switch (cli_read(&cli, argc - 2, argv + 2, &args, &e)) {
 *	case CLI_HELP: print cli_help(), exit 0
 *	case CLI_WRONG: print e.detail to standard error, exit 2
 *	case CLI_OK: dir = cli_value(&args, "dir", "var"); demo = !cli_flag(&args, "no-demo");
 *		if (!cli_number(&args, "port", 1, 65535, 8080, &port, &e)) as for CLI_WRONG
 *	}
 *
 * `--name value` and `--name=value` are the same; `--` ends the options; `--help` and `-h` are always there. A value that
 * begins with `--` needs the form with `=`. An option stands once, but for those whose metavar ends in "...".
 */
#ifndef BASE_CLI_H
#define BASE_CLI_H

#include "base/buf.h"
#include "base/err.h"

struct cli_option {
	const char *name;    /* without the dashes */
	const char *metavar; /* what it takes, in capitals; "KEY...": may be given again; NULL: a flag */
	const char *help;
};

struct cli {
	const char *command;		  /* "boxoffice up" */
	const char *summary;		  /* one sentence */
	const struct cli_option *options; /* ended by one without name; NULL: none */
	const char *positional;		  /* "FILE", "SHOW SEAT..."; NULL when none may be given */
	int positional_min, positional_max;
};

enum { CLI_OPTIONS_MAX = 40, CLI_AGAIN_MAX = 16 };

struct cli_args {
	const struct cli *cli;
	const char *values[CLI_OPTIONS_MAX]; /* NULL: not given; a flag: "" */
	struct {
		int option;
		const char *value;
	} again[CLI_AGAIN_MAX]; /* what was given after the first, in order */
	int n_again;
	char **positional;
	int n_positional;
};

enum cli_result { CLI_OK, CLI_HELP, CLI_WRONG };

/* argv without program and subcommand; it is reordered (positional arguments to its front) and must outlive ret.
 * CLI_WRONG: ret_error->detail is a sentence that names the option and what it takes. */
enum cli_result cli_read(const struct cli *cli, int argc, char **argv, struct cli_args *ret, struct error *ret_error);
/* Asking for an option that is not in the table is a bug and aborts. */
bool cli_flag(const struct cli_args *args, const char *name);
const char *cli_value(const struct cli_args *args, const char *name, const char *absent);
/* The n-th of an option that may be given again, from 0; NULL: there are fewer. */
const char *cli_value_at(const struct cli_args *args, const char *name, size_t n);
/* A whole number min..max, min >= 0. */
bool cli_number(const struct cli_args *args, const char *name, int64_t min, int64_t max, int64_t absent, int64_t *ret,
		struct error *ret_error);
void cli_help(const struct cli *cli, struct buf *out);

#endif
