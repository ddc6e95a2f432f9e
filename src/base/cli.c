#include "base/cli.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { HELP_COLUMNS = 100 };

static int find_option(const struct cli *cli, struct str name)
{
	for (int i = 0; cli->options && cli->options[i].name; i++) {
		assert(i < CLI_OPTIONS_MAX);
		if (str_eqc(name, cli->options[i].name))
			return i;
	}
	return -1;
}

static enum cli_result wrong(const struct cli *cli, struct error *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static enum cli_result wrong(const struct cli *cli, struct error *e, const char *fmt, ...)
{
	char text[ERROR_DETAIL_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	error_set(e, ERR_INVALID_REQUEST, "", "%.250s See `%s --help`.", text, cli->command);
	return CLI_WRONG;
}

static bool repeats(const struct cli_option *o)
{
	size_t n = o->metavar ? strlen(o->metavar) : 0;

	return n > 3 && strcmp(o->metavar + n - 3, "...") == 0;
}

/* One argument that begins with "--"; next is the one after it or NULL; *ret_used: next was its value. */
static enum cli_result read_option(struct cli_args *args, const char *arg, const char *next, bool *ret_used,
				   struct error *e)
{
	const struct cli *cli = args->cli;
	const struct cli_option *o;
	struct str name;
	const char *equals = strchr(arg, '='), **value;
	int i;

	*ret_used = false;
	name = equals ? (struct str){arg + 2, (size_t)(equals - arg) - 2} : str_from(arg + 2);
	if (str_eqc(name, "help") && !equals)
		return CLI_HELP;
	i = find_option(cli, name);
	if (i < 0)
		return wrong(cli, e, "There is no option --%.*s.", STR_FMT(name));
	o = &cli->options[i];
	value = &args->values[i];
	if (*value && !repeats(o))
		return wrong(cli, e, "--%s is given twice.", o->name);
	if (*value) {
		if (args->n_again == CLI_AGAIN_MAX)
			return wrong(cli, e, "--%s is given too often.", o->name);
		args->again[args->n_again].option = i;
		value = &args->again[args->n_again++].value;
	}
	if (!o->metavar && equals)
		return wrong(cli, e, "--%s takes no value.", o->name);
	if (!o->metavar)
		*value = "";
	else if (equals)
		*value = equals + 1;
	else if (next && strncmp(next, "--", 2) != 0)
		*value = next;
	else
		return wrong(cli, e, "--%s needs a value: --%s %s.", o->name, o->name, o->metavar);
	*ret_used = *value == next;
	return CLI_OK;
}

enum cli_result cli_read(const struct cli *cli, int argc, char **argv, struct cli_args *ret, struct error *ret_error)
{
	bool options_end = false;

	memset(ret, 0, sizeof(*ret));
	ret->cli = cli;
	ret->positional = argv;
	for (int i = 0; i < argc; i++) {
		enum cli_result r;
		bool used;

		if (options_end || argv[i][0] != '-' || argv[i][1] == '\0') {
			/* i has passed the place already */
			argv[ret->n_positional++] = argv[i];
			continue;
		}
		if (strcmp(argv[i], "--") == 0) {
			options_end = true;
			continue;
		}
		if (strcmp(argv[i], "-h") == 0)
			return CLI_HELP;
		if (argv[i][1] != '-')
			return wrong(cli, ret_error, "There is no option %s.", argv[i]);
		r = read_option(ret, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used, ret_error);
		if (r != CLI_OK)
			return r;
		i += used;
	}
	if (ret->n_positional > 0 && !cli->positional)
		return wrong(cli, ret_error, "\"%s\" is one argument too many.", argv[0]);
	if (ret->n_positional < cli->positional_min)
		return wrong(cli, ret_error, "%s is missing.", cli->positional);
	if (cli->positional && ret->n_positional > cli->positional_max)
		return wrong(cli, ret_error, "\"%s\" is one argument too many.", argv[cli->positional_max]);
	return CLI_OK;
}

bool cli_flag(const struct cli_args *args, const char *name)
{
	int i = find_option(args->cli, str_from(name));

	assert(i >= 0 && !args->cli->options[i].metavar);
	return args->values[i] != NULL;
}

const char *cli_value(const struct cli_args *args, const char *name, const char *absent)
{
	int i = find_option(args->cli, str_from(name));

	assert(i >= 0 && args->cli->options[i].metavar);
	return args->values[i] ? args->values[i] : absent;
}

const char *cli_value_at(const struct cli_args *args, const char *name, size_t n)
{
	int i = find_option(args->cli, str_from(name));

	assert(i >= 0 && repeats(&args->cli->options[i]));
	if (n == 0)
		return args->values[i];
	for (int k = 0; k < args->n_again; k++)
		if (args->again[k].option == i && --n == 0)
			return args->again[k].value;
	return NULL;
}

bool cli_number(const struct cli_args *args, const char *name, int64_t min, int64_t max, int64_t absent, int64_t *ret,
		struct error *ret_error)
{
	const char *text = cli_value(args, name, NULL);
	uint64_t v;

	assert(min >= 0);
	*ret = absent;
	if (!text)
		return true;
	if (!str_to_u64(str_from(text), (uint64_t)max, &v) || v < (uint64_t)min) {
		wrong(args->cli, ret_error, "--%s takes a whole number from %lld to %lld, not \"%.60s\".", name,
		      (long long)min, (long long)max, text);
		return false;
	}
	*ret = (int64_t)v;
	return true;
}

/* Words of text, wrapped, from column `indent` on where the cursor already is. */
static void add_wrapped(struct buf *out, const char *text, size_t indent)
{
	struct str rest = str_from(text), word;
	size_t column = indent;

	while (rest.n) {
		rest = str_split(rest, ' ', &word);
		if (column > indent && column + 1 + str_utf8_length(word) > HELP_COLUMNS) {
			buf_addf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else if (column > indent) {
			buf_addc(out, ' ');
			column++;
		}
		buf_addstr(out, word);
		column += str_utf8_length(word);
	}
	buf_addc(out, '\n');
}

static size_t left_width(const struct cli_option *o)
{
	return strlen("  --") + strlen(o->name) + (o->metavar ? 1 + strlen(o->metavar) : 0);
}

static void add_option(struct buf *out, const struct cli_option *o, size_t indent)
{
	buf_addf(out, "  --%s%s%s%*s", o->name, o->metavar ? " " : "", o->metavar ? o->metavar : "",
		 (int)(indent - left_width(o)), "");
	add_wrapped(out, o->help, indent);
}

void cli_help(const struct cli *cli, struct buf *out)
{
	static const struct cli_option help = {"help", NULL, "show this text"};
	size_t indent = left_width(&help) + 2;

	buf_addf(out, "Usage: %s%s%s%s\n\n", cli->command, cli->options && cli->options[0].name ? " [options]" : "",
		 cli->positional ? " " : "", cli->positional ? cli->positional : "");
	add_wrapped(out, cli->summary, 0);
	for (int i = 0; cli->options && cli->options[i].name; i++)
		if (left_width(&cli->options[i]) + 2 > indent)
			indent = left_width(&cli->options[i]) + 2;
	buf_adds(out, "\nOptions:\n");
	for (int i = 0; cli->options && cli->options[i].name; i++)
		add_option(out, &cli->options[i], indent);
	add_option(out, &help, indent);
}
