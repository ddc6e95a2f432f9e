/* What was typed is what is read; what is wrong is said in a sentence that names it. */
#include "base/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct cli_option options[] = {
	{"dir", "DIR", "where the data lives (default: var)"},
	{"port", "N",
	 "the port to listen on, 1 to 65535, and a sentence so long that it has to go on in a second line of the text"},
	{"no-demo", NULL, "start without the demo venue"},
	{0},
};
static const struct cli plain = {.command = "boxoffice up", .summary = "Starts everything.", .options = options};
static const struct cli files = {.command = "boxoffice import-plan",
				 .summary = "Imports.",
				 .options = options,
				 .positional = "FILE...",
				 .positional_min = 1,
				 .positional_max = 2};

struct fixture {
	struct cli_args args;
	struct error e;
	char *argv[10];
};

/* words: separated by blanks */
static enum cli_result read_words(struct fixture *f, const struct cli *cli, const char *words)
{
	static char copy[300];
	struct str rest, word;
	char *at = copy;
	int argc = 0;

	memset(f, 0, sizeof(*f));
	for (rest = str_from(words); rest.n;) {
		rest = str_split(rest, ' ', &word);
		memcpy(at, word.p, word.n);
		at[word.n] = '\0';
		f->argv[argc++] = at;
		at += word.n + 1;
	}
	return cli_read(cli, argc, f->argv, &f->args, &f->e);
}

static void reading(void **state)
{
	struct fixture f;
	int64_t port;

	assert_int_equal(read_words(&f, &plain, ""), CLI_OK);
	assert_string_equal(cli_value(&f.args, "dir", "var"), "var");
	assert_null(cli_value(&f.args, "dir", NULL));
	assert_false(cli_flag(&f.args, "no-demo"));
	assert_true(cli_number(&f.args, "port", 1, 65535, 8080, &port, &f.e));
	assert_int_equal(port, 8080);

	assert_int_equal(read_words(&f, &plain, "--port 65535 --no-demo --dir=a=b"), CLI_OK);
	assert_string_equal(cli_value(&f.args, "dir", "var"), "a=b");
	assert_true(cli_flag(&f.args, "no-demo"));
	assert_true(cli_number(&f.args, "port", 1, 65535, 8080, &port, &f.e));
	assert_int_equal(port, 65535);

	assert_int_equal(read_words(&f, &plain, "--dir= --port=1"), CLI_OK);
	assert_string_equal(cli_value(&f.args, "dir", "var"), "");
	/* a value that looks like an option, a negative number as a value */
	assert_int_equal(read_words(&f, &plain, "--dir=--port --port -5"), CLI_OK);
	assert_string_equal(cli_value(&f.args, "dir", "var"), "--port");
	assert_string_equal(cli_value(&f.args, "port", ""), "-5");
}

static void positional(void **state)
{
	struct fixture f;

	assert_int_equal(read_words(&f, &files, "a.json --dir x b.json --no-demo"), CLI_OK);
	assert_int_equal(f.args.n_positional, 2);
	assert_string_equal(f.args.positional[0], "a.json");
	assert_string_equal(f.args.positional[1], "b.json");
	assert_string_equal(cli_value(&f.args, "dir", ""), "x");
	assert_int_equal(read_words(&f, &files, "--no-demo -- --dir -h"), CLI_OK);
	assert_int_equal(f.args.n_positional, 2);
	assert_string_equal(f.args.positional[0], "--dir");
	assert_string_equal(f.args.positional[1], "-h");
	/* standard input by custom */
	assert_int_equal(read_words(&f, &files, "-"), CLI_OK);
	assert_string_equal(f.args.positional[0], "-");
}

static void given_again(void **state)
{
	static const struct cli_option again_options[] = {
		{"key", "KEY...", "may be there again"}, {"dir", "DIR", ""}, {0}};
	static const struct cli cli = {"boxoffice x", "", again_options, NULL, 0, 0};
	struct fixture f;

	assert_int_equal(read_words(&f, &cli, "--dir d"), CLI_OK);
	assert_null(cli_value_at(&f.args, "key", 0));
	assert_null(cli_value_at(&f.args, "key", 1));
	assert_int_equal(read_words(&f, &cli, "--key a --dir d --key=b --key c"), CLI_OK);
	assert_string_equal(cli_value(&f.args, "key", ""), "a");
	assert_string_equal(cli_value_at(&f.args, "key", 0), "a");
	assert_string_equal(cli_value_at(&f.args, "key", 1), "b");
	assert_string_equal(cli_value_at(&f.args, "key", 2), "c");
	assert_null(cli_value_at(&f.args, "key", 3));
	assert_string_equal(cli_value(&f.args, "dir", ""), "d");
	assert_int_equal(read_words(&f, &cli, "--key a --key"), CLI_WRONG);
}

static void wrong_ones(void **state)
{
	static const struct {
		const struct cli *cli;
		const char *words, *sentence;
	} cases[] = {
		{&plain, "--prot 1", "There is no option --prot. See `boxoffice up --help`."},
		{&plain, "--prot=1", "There is no option --prot. See `boxoffice up --help`."},
		{&plain, "--port", "--port needs a value: --port N. See `boxoffice up --help`."},
		{&plain, "--dir --no-demo", "--dir needs a value: --dir DIR. See `boxoffice up --help`."},
		{&plain, "--dir a --dir=b", "--dir is given twice. See `boxoffice up --help`."},
		{&plain, "--no-demo --no-demo", "--no-demo is given twice. See `boxoffice up --help`."},
		{&plain, "--no-demo=yes", "--no-demo takes no value. See `boxoffice up --help`."},
		{&plain, "-p 5", "There is no option -p. See `boxoffice up --help`."},
		{&plain, "--po 5", "There is no option --po. See `boxoffice up --help`."},
		{&plain, "--no-demo now", "\"now\" is one argument too many. See `boxoffice up --help`."},
		{&files, "--no-demo", "FILE... is missing. See `boxoffice import-plan --help`."},
		{&files, "a b c", "\"c\" is one argument too many. See `boxoffice import-plan --help`."},
	};
	struct fixture f;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(read_words(&f, cases[i].cli, cases[i].words), CLI_WRONG);
		assert_string_equal(f.e.detail, cases[i].sentence);
	}
}

static void wrong_numbers(void **state)
{
	static const char *const bad[] = {"0", "65536", "x", "-1", "+1", "1.5", "", "80 ", "99999999999999999999"};
	struct fixture f;
	int64_t port;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char want[200];

		assert_int_equal(read_words(&f, &plain, "--port=?"), CLI_OK);
		f.args.values[1] = bad[i];
		assert_false(cli_number(&f.args, "port", 1, 65535, 8080, &port, &f.e));
		snprintf(want, sizeof(want),
			 "--port takes a whole number from 1 to 65535, not \"%s\". See `boxoffice up --help`.", bad[i]);
		assert_string_equal(f.e.detail, want);
	}
}

static void help(void **state)
{
	static const struct cli bare = {.command = "boxoffice x", .summary = "Does x."};
	struct fixture f;
	struct buf out;

	assert_int_equal(read_words(&f, &plain, "--help"), CLI_HELP);
	assert_int_equal(read_words(&f, &plain, "--no-demo -h"), CLI_HELP);
	buf_init(&out, 10000);
	cli_help(&files, &out);
	assert_string_equal(
		out.p,
		"Usage: boxoffice import-plan [options] FILE...\n"
		"\n"
		"Imports.\n"
		"\n"
		"Options:\n"
		"  --dir DIR  where the data lives (default: var)\n"
		"  --port N   the port to listen on, 1 to 65535, and a sentence so long that it has to go on in a\n"
		"             second line of the text\n"
		"  --no-demo  start without the demo venue\n"
		"  --help     show this text\n");
	buf_reset(&out);
	cli_help(&bare, &out);
	assert_string_equal(out.p, "Usage: boxoffice x\n\nDoes x.\n\nOptions:\n  --help  show this text\n");
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reading),    cmocka_unit_test(positional),    cmocka_unit_test(given_again),
		cmocka_unit_test(wrong_ones), cmocka_unit_test(wrong_numbers), cmocka_unit_test(help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
