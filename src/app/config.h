/* Settings: one table (config.def) from which the options, the environment's names, --help and the reference page are made. */
#ifndef APP_CONFIG_H
#define APP_CONFIG_H

#include "base/buf.h"
#include "base/err.h"

struct config {
#define CONFIG_STR(field, name, absent, doc) const char *field;
#define CONFIG_INT(field, name, absent, min, max, doc) int64_t field;
#include "app/config.def"
#undef CONFIG_STR
#undef CONFIG_INT
};

/*
 * argv without program and subcommand. Texts are the environment's, the arguments' or leaked for the life of the process.
 * extra: further options of the subcommand that are not settings.
 */
struct config_extra {
	const char *name; /* without dashes; NULL ends the list */
	bool takes_value;
	const char *help;
	const char *value; /* out: NULL not given; "" for a flag */
};
/* Returns -1 to go on, or an exit status after having printed. */
int config_read(const char *command, const char *summary, int argc, char **argv, struct config_extra *extra,
		struct config *ret);
/* docs/configuration.md */
void config_reference(struct buf *out);
/* The settings that must be there for a command: prints a sentence and returns false when one is empty. */
bool config_need(const struct config *c, const char *command, const char *name, const char *value);

#endif
