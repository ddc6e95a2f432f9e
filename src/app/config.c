/* Owns the reading of settings: command line, then environment, then file, then default. */
#include "app/config.h"

#include "base/xmalloc.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_STR, KIND_INT };

static const struct setting {
	enum kind kind;
	const char *name;
	size_t offset;
	const char *absent_text;
	int64_t absent, min, max;
	const char *doc;
} settings[] = {
#define CONFIG_STR(field, name, absent, doc) {KIND_STR, name, offsetof(struct config, field), absent, 0, 0, 0, doc},
#define CONFIG_INT(field, name, absent, min, max, doc) \
	{KIND_INT, name, offsetof(struct config, field), #absent, absent, min, max, doc},
#include "app/config.def"
#undef CONFIG_STR
#undef CONFIG_INT
};

enum { N_SETTINGS = sizeof(settings) / sizeof(settings[0]) };

static void env_name(const struct setting *s, char *out, size_t size)
{
	size_t n = (size_t)snprintf(out, size, "BOXOFFICE_%s", s->name);

	for (size_t i = 0; i < n && i < size - 1; i++)
		out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

static bool set(const struct setting *s, const char *value, const char *where, struct config *c)
{
	char *at = (char *)c + s->offset, *end;
	long long v;

	if (s->kind == KIND_STR) {
		*(const char **)(void *)at = value;
		return true;
	}
	errno = 0;
	v = strtoll(value, &end, 10);
	if (errno || end == value || *end || v < s->min || v > s->max) {
		fprintf(stderr, "boxoffice: %s %s must be a whole number from %lld to %lld; \"%s\" is not\n", where,
			s->name, (long long)s->min, (long long)s->max, value);
		return false;
	}
	*(int64_t *)(void *)at = v;
	return true;
}

static const struct setting *find(const char *name, size_t n)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (strlen(settings[i].name) == n && memcmp(settings[i].name, name, n) == 0)
			return &settings[i];
	return NULL;
}

static bool read_file(const char *path, bool *known, struct config *c)
{
	FILE *f = fopen(path, "re");
	char line[4096];
	int number = 0;
	bool ok = true;

	if (!f) {
		fprintf(stderr, "boxoffice: cannot read the configuration file %s: %s\n", path, strerror(errno));
		return false;
	}
	while (ok && fgets(line, sizeof(line), f)) {
		char *p = line + strspn(line, " \t"), *equals, *value, *end;
		const struct setting *s;

		number++;
		if (*p == '#' || *p == '\n' || !*p)
			continue;
		equals = strchr(p, '=');
		end = equals ? equals : p;
		while (end > p && isspace((unsigned char)end[-1]))
			end--;
		s = equals ? find(p, (size_t)(end - p)) : NULL;
		if (!s) {
			fprintf(stderr, "boxoffice: %s line %d: there is no such setting; lines are `name = value`\n",
				path, number);
			ok = false;
			break;
		}
		value = equals + 1 + strspn(equals + 1, " \t");
		end = value + strlen(value);
		while (end > value && isspace((unsigned char)end[-1]))
			*--end = '\0';
		if (!known[s - settings]) {
			ok = set(s, xstrdup(value), path, c);
			known[s - settings] = true;
		}
	}
	fclose(f);
	return ok;
}

static void help(const char *command, const char *summary, const struct config_extra *extra)
{
	printf("Usage: %s [options]\n%s\n\n", command, summary);
	for (; extra && extra->name; extra++)
		printf("  --%-26s %s\n", extra->name, extra->help);
	printf("  --%-26s %s\n", "config FILE", "Read settings from FILE (lines of `name = value`).");
	for (size_t i = 0; i < N_SETTINGS; i++)
		printf("  --%-26s %s%s%s%s\n", settings[i].name, settings[i].doc,
		       settings[i].absent_text[0] ? " [" : "", settings[i].absent_text,
		       settings[i].absent_text[0] ? "]" : "");
}

/* "boxoffice admin export" as a message begins that says who speaks already: "boxoffice: admin export". */
static const char *after_name(const char *command)
{
	return strncmp(command, "boxoffice ", 10) == 0 ? command + 10 : command;
}

int config_read(const char *command, const char *summary, int argc, char **argv, struct config_extra *extra,
		struct config *ret)
{
	bool known[N_SETTINGS] = {false};
	const char *file = getenv("BOXOFFICE_CONFIG");
	char env[80];

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < N_SETTINGS; i++)
		set(&settings[i], settings[i].absent_text, "default", ret);
	for (int i = 0; i < argc; i++) {
		const char *name = argv[i], *value;
		struct config_extra *x;
		const struct setting *s;
		size_t n;

		if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
			help(command, summary, extra);
			return 0;
		}
		if (strncmp(name, "--", 2) != 0) {
			fprintf(stderr, "boxoffice: %s takes only options; \"%s\" is none (see %s --help)\n",
				after_name(command), name, command);
			return 2;
		}
		name += 2;
		n = strcspn(name, "=");
		value = name[n] ? name + n + 1 : NULL;
		for (x = extra; x && x->name; x++)
			if (strlen(x->name) == n && memcmp(x->name, name, n) == 0)
				break;
		if (x && x->name && !x->takes_value) {
			x->value = "";
			continue;
		}
		s = find(name, n);
		if (!(x && x->name) && !s && !(n == 6 && memcmp(name, "config", 6) == 0)) {
			fprintf(stderr, "boxoffice: there is no option --%.*s (see %s --help)\n", (int)n, name,
				command);
			return 2;
		}
		if (!value) {
			if (i + 1 == argc) {
				fprintf(stderr, "boxoffice: --%.*s needs a value\n", (int)n, name);
				return 2;
			}
			value = argv[++i];
		}
		if (x && x->name) {
			x->value = value;
		} else if (s) {
			if (!set(s, value, "option", ret))
				return 2;
			known[s - settings] = true;
		} else {
			file = value;
		}
	}
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const char *value;

		env_name(&settings[i], env, sizeof(env));
		value = getenv(env);
		if (!value || known[i])
			continue;
		if (!set(&settings[i], value, env, ret))
			return 2;
		known[i] = true;
	}
	if (file && !read_file(file, known, ret))
		return 2;
	return -1;
}

bool config_need(const struct config *c, const char *command, const char *name, const char *value)
{
	if (value[0])
		return true;
	fprintf(stderr, "boxoffice: %s needs --%s (or BOXOFFICE_... in the environment, or a line in --config FILE)\n",
		after_name(command), name);
	return false;
}

void config_reference(struct buf *out)
{
	char env[80];

	buf_adds(out,
		 "# Configuration\n\nMade from `src/app/config.def` by `boxoffice config-reference`. A setting is "
		 "given on the command "
		 "line (`--name value`), in the environment, or in a file named by `--config` or `BOXOFFICE_CONFIG` "
		 "(lines of `name = value`); the first of these that says something wins.\n\n"
		 "| setting | environment | default | range | what it is |\n|---|---|---|---|---|\n");
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = &settings[i];

		env_name(s, env, sizeof(env));
		buf_addf(out, "| `%s` | `%s` | %s%s%s | ", s->name, env, s->absent_text[0] ? "`" : "", s->absent_text,
			 s->absent_text[0] ? "`" : "");
		if (s->kind == KIND_INT)
			buf_addf(out, "%lld to %lld", (long long)s->min, (long long)s->max);
		else
			buf_adds(out, "text");
		buf_addf(out, " | %s |\n", s->doc);
	}
}
