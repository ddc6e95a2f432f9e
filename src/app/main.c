/* The subcommand table, nothing else. */
#include "app/app.h"
#include "ticket/verify_cmd.h"

#include <stdio.h>
#include <string.h>

#ifndef BOXOFFICE_VERSION
#define BOXOFFICE_VERSION "unknown"
#endif

static int help_main(int argc, char **argv);
static int version_main(int argc, char **argv);
static int reference_main(int argc, char **argv);
static int verify_main(int argc, char **argv);

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv); /* without program and subcommand */
	const char *what;
} commands[] = {
	{"up", up_main, "start everything on this machine: PostgreSQL, Redis, a payment simulator, a demo venue"},
	{"serve", serve_main, "the HTTP API, on servers of your own"},
	{"work", work_main, "the background duties: expiry, audit, settling of payments, retention"},
	{"migrate", migrate_main, "bring the database's tables to what this program knows"},
	{"import-plan", import_plan_main, "upload a seating plan, or check one"},
	{"check", check_main, "test the invariants: every seat one owner, every cent accounted for"},
	{"admin", admin_main, "organisers, API tokens, keys"},
	{"verify-ticket", verify_main, "check ticket codes without a network"},
	{"routes", routes_main, "print every route of the API"},
	{"config-reference", reference_main, "print every setting, as a page of documentation"},
	{"version", version_main, "print the version"},
	{"help", help_main, "print this"},
};

enum { N_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static int help_main(int argc, char **argv)
{
	printf("Usage: boxoffice COMMAND [options]\n"
	       "Sells reserved seats: locks, bookings, payments, tickets.\n\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %-18s %s\n", commands[i].name, commands[i].what);
	printf("\n`boxoffice COMMAND --help` tells more. The first thing to type is `boxoffice up`.\n");
	return 0;
}

static int version_main(int argc, char **argv)
{
	printf("boxoffice %s (schema %lld)\n", BOXOFFICE_VERSION, (long long)migrate_wanted());
	return 0;
}

static int reference_main(int argc, char **argv)
{
	struct buf b;

	buf_init(&b, 1024 * 1024);
	config_reference(&b);
	fwrite(b.p, 1, b.n, stdout);
	buf_done(&b);
	return 0;
}

/* It counts its name among its arguments. */
static int verify_main(int argc, char **argv)
{
	return ticket_verify_main(argc + 1, argv - 1);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "help";
	int status;

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	else if (strcmp(name, "--version") == 0)
		name = "version";
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(commands[i].name, name) != 0)
			continue;
		status = argc > 1 ? commands[i].run(argc - 2, argv + 2) : commands[i].run(0, argv + 1);
		if (fflush(stdout) != 0 && status == 0) {
			perror("boxoffice: standard output");
			status = 1;
		}
		return argc > 1 ? status : 2;
	}
	fprintf(stderr, "boxoffice: there is no command \"%s\"; `boxoffice help` lists them\n", name);
	return 2;
}
