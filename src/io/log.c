/*
 * Makes one line of JSON out of a message and its fields and hands it to the kernel in one piece, so that lines of several
 * processes do not mix. Called by the outermost layer only.
 *
 * The settings below are the process's own, written once after fork and only read afterwards: passing them along would
 * put a logger into every signature for the sake of three words.
 */
#include "io/log.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/times.h"
#include "io/loop.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum {
	VALUE_MAX = 2048, /* bytes of one text; what is longer is cut and marked */
	LINE_MAX_BYTES = 32768,
};

static struct {
	enum log_level least;
	char component[32];
	int worker;
} settings = {.least = LOG_INFO, .component = "boxoffice", .worker = -1};

void log_setup(enum log_level least, const char *component, int worker)
{
	settings.least = least;
	snprintf(settings.component, sizeof(settings.component), "%s", component);
	settings.worker = worker;
}

bool log_wanted(enum log_level level)
{
	return level >= settings.least;
}

/*
 * Texts in logs come from anywhere (a request's path, a server's message): ill-formed bytes, NUL (which many
 * readers of JSON refuse) and terminal controls are replaced, so that every line is JSON and harmless to look at.
 */
static void write_text(struct jw *w, struct str v)
{
	static const char replacement[] = "\xEF\xBF\xBD";
	struct buf clean;

	buf_init(&clean, VALUE_MAX + 16);
	while (v.n && clean.n < VALUE_MAX) {
		const unsigned char *p = (const unsigned char *)v.p;
		size_t len = str_utf8_sequence(v);
		bool control = len == 2 && p[0] == 0xC2 && p[1] < 0xA0;

		if (len == 0 || control || p[0] == 0x7F || p[0] == '\0')
			buf_adds(&clean, replacement);
		else
			buf_add(&clean, v.p, len);
		v.p += len ? len : 1;
		v.n -= len ? len : 1;
	}
	if (v.n)
		buf_adds(&clean, "...");
	jw_str(w, buf_str(&clean));
	buf_done(&clean);
}

static void write_head(struct jw *w, enum log_level level, const char *message)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};

	jw_obj(w);
	jw_ktime(w, "time", wall_now_us());
	jw_kcstr(w, "level", names[level]);
	jw_kcstr(w, "component", settings.component);
	if (settings.worker >= 0)
		jw_kint(w, "worker", settings.worker);
	jw_kint(w, "pid", getpid());
	jw_key(w, "message");
	write_text(w, str_from(message));
}

static void write_field(struct jw *w, const struct log_field *f)
{
	jw_key(w, f->name);
	switch (f->type) {
	case LOG_F_STR:
		write_text(w, f->s);
		break;
	case LOG_F_INT:
		jw_int(w, f->i);
		break;
	case LOG_F_BOOL:
		jw_bool(w, f->i != 0);
		break;
	case LOG_F_UUID:
		if (f->u)
			jw_uuid(w, f->u);
		else
			jw_null(w);
		break;
	}
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
	int saved = errno;
	struct buf line;
	struct jw w;
	ssize_t n;

	if (!log_wanted(level))
		return;
	buf_init(&line, LINE_MAX_BYTES);
	jw_init(&w, &line);
	write_head(&w, level, message);
	for (const struct log_field *f = fields; f && f->name; f++)
		write_field(&w, f);
	jw_obj_end(&w);
	buf_addc(&line, '\n');
	if (line.failed) {
		/* too many long fields: the message alone, saying so */
		buf_reset(&line);
		jw_init(&w, &line);
		write_head(&w, level, message);
		jw_kbool(&w, "truncated", true);
		jw_obj_end(&w);
		buf_addc(&line, '\n');
	}
	/* whoever reads standard error may have gone: a line lost is better than a service stopped */
	do
		n = write(STDERR_FILENO, line.p, line.n);
	while (n < 0 && errno == EINTR);
	buf_done(&line);
	errno = saved;
}
