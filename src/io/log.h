/*
 * Structured logs: one JSON object a line on standard error, written with a single write(2). For the outermost layer
 * (app, work, paysim); modules below report through results and counters.
 */
#ifndef IO_LOG_H
#define IO_LOG_H

#include "base/ids.h"
#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* component: "serve", "work", ...; worker -1: none. Set once after fork. */
void log_setup(enum log_level least, const char *component, int worker);
bool log_wanted(enum log_level level);
/* Fields after the message as a list of log_field, ended by a field without name. */
struct log_field {
	const char *name;
	enum { LOG_F_STR, LOG_F_INT, LOG_F_UUID, LOG_F_BOOL } type;
	struct str s;
	int64_t i;
	const struct uuid *u;
};
#define LOG_S(name_, v) ((struct log_field){.name = (name_), .type = LOG_F_STR, .s = (v)})
#define LOG_C(name_, v) ((struct log_field){.name = (name_), .type = LOG_F_STR, .s = str_from(v)})
#define LOG_I(name_, v) ((struct log_field){.name = (name_), .type = LOG_F_INT, .i = (v)})
#define LOG_U(name_, v) ((struct log_field){.name = (name_), .type = LOG_F_UUID, .u = (v)})
void log_write(enum log_level level, const char *message, const struct log_field *fields);
#define log_line(level, message, ...) \
	log_write((level), (message), (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}})

#endif
