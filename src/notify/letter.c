/* Owns the templates, which are carried in the program. Called by the sender (facts on the loop, rendering on the pool), by tests. */
#include "notify/letter.h"

#include "base/xmalloc.h"
#include "notify/notify_de.h"
#include "notify/notify_en.h"
#include "notify/notify_shared.h"
#include "notify/notify_zh.h"
#include "notify/template.h"
#include "ticket/when.h"
#include "ticket/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_MAX = 64 * 1024 };

static const char *const names[LETTER_VALUES] = {
#define VALUE(name) #name,
#include "notify/letter_values.def"
#undef VALUE
};

/* ---- templates ---- */

static struct str file_named(const struct embedded_file *const *files, struct str name)
{
	for (; *files; files++)
		if (str_eqc(name, (*files)->name))
			return (struct str){(*files)->bytes, (*files)->size};
	return STR_NULL;
}

struct where {
	enum notify_kind kind;
	enum notify_locale locale;
};

static struct str find(void *arg, struct str name)
{
	static const struct embedded_file *const *const languages[NOTIFY_LOCALES] = {
		[NOTIFY_EN] = notify_en_files, [NOTIFY_DE] = notify_de_files, [NOTIFY_ZH] = notify_zh_files};
	const struct where *w = arg;
	char own[64];
	struct str text;

	if (str_eqc(name, "subject") || str_eqc(name, "text") || str_eqc(name, "body")) {
		snprintf(own, sizeof(own), "%s.%s", notify_kind_name(w->kind),
			 str_eqc(name, "subject") ? "subject"
			 : str_eqc(name, "text")  ? "txt"
						  : "html");
		name = str_from(own);
	}
	text = file_named(languages[w->locale], name);
	return text.p ? text : file_named(notify_shared_files, name);
}

static struct str first_of(enum letter_part part)
{
	static const char *const first[LETTER_PARTS] = {"subject", "text", "layout.html"};

	return str_from(first[part]);
}

struct str letter_template(enum notify_kind kind, enum notify_locale locale, enum letter_part part)
{
	struct where w = {kind, locale};

	return find(&w, part == LETTER_HTML ? STR("body") : first_of(part));
}

bool letter_names(enum notify_kind kind, enum notify_locale locale, enum letter_part part,
		  void (*fn)(void *arg, struct str name), void *arg, char error[160])
{
	struct where w = {kind, locale};
	struct template_source source = {find, &w, part == LETTER_HTML};

	return template_names(find(&w, first_of(part)), &source, fn, arg, error);
}

bool letter_render(const struct letter *l, enum letter_part part, struct buf *out, char error[160])
{
	struct template_value values[LETTER_VALUES + 1] = {0};
	struct where w = {l->kind, l->locale};
	struct template_source source = {find, &w, part == LETTER_HTML};
	struct str text;

	for (int i = 0; i < LETTER_VALUES; i++)
		values[i] = (struct template_value){names[i], l->values[i]};
	text = find(&w, first_of(part));
	if (part == LETTER_SUBJECT)
		text.n -= text.n && text.p[text.n - 1] == '\n';
	return template_render(text, &source, values, out, error);
}

/* ---- facts ---- */

struct letter *letter_new(enum notify_kind kind, struct str locale)
{
	struct letter *l = xcalloc(1, sizeof(*l));

	arena_init(&l->arena);
	l->kind = kind;
	l->locale = notify_locale_for(locale);
	/* words of a ticket are there in more languages than templates: one mail speaks one */
	l->tag = notify_locale_name(l->locale);
	if (l->locale == NOTIFY_EN && locale.n >= 2 && str_ieqc((struct str){locale.p, 2}, "en"))
		l->tag = arena_cstr(&l->arena, locale);
	for (int i = 0; i < LETTER_VALUES; i++)
		l->values[i] = "";
	l->values[LETTER_language] = notify_locale_name(l->locale);
	return l;
}

void letter_free(struct letter *l)
{
	if (!l)
		return;
	arena_done(&l->arena);
	free(l);
}

static void take(struct letter *l, enum letter_value v, struct buf *b)
{
	l->values[v] = arena_cstr(&l->arena, buf_str(b));
	buf_reset(b);
}

static void set(struct letter *l, enum letter_value v, const char *text)
{
	l->values[v] = text ? arena_strdup(&l->arena, text) : "";
}

/* A name of something: one line, whatever stands in it. */
static void set_line(struct letter *l, enum letter_value v, const char *text, const char *newline, struct buf *b)
{
	for (const char *p = text ? text : ""; *p; p++)
		if (*p == '\n')
			buf_adds(b, newline);
		else
			buf_addc(b, *p);
	take(l, v, b);
}

static void set_money(struct letter *l, enum letter_value v, struct money m, struct buf *b)
{
	if (!m.currency || m.amount_minor == 0)
		return;
	words_price(words_for(l->tag), m, b);
	take(l, v, b);
}

/* "Friday, 4 December 2026, 19:30 (CET)" */
static void set_instant(struct letter *l, enum letter_value v, int64_t us, struct when_zone *zone, struct buf *b)
{
	struct when w;

	if (us == 0 || us == INT64_MIN || us == INT64_MAX || !when_zone_local(zone, us, &w))
		return;
	when_date(&w, l->tag, b);
	buf_adds(b, l->locale == NOTIFY_ZH ? " " : ", ");
	when_time(&w, l->tag, b);
	buf_addf(b, l->locale == NOTIFY_ZH ? "（%s）" : " (%s)", w.zone);
	take(l, v, b);
}

static void set_seats(struct letter *l, const struct letter_facts *f, struct buf *b)
{
	const struct words *words = words_for(l->tag);

	for (size_t i = 0; i < f->n_seats; i++) {
		const struct letter_seat *s = &f->seats[i];

		buf_adds(b, i ? "\n" : "");
		buf_addf(b, "%s%s", s->zone, *s->zone ? ", " : "");
		if (*s->row)
			buf_addf(b, "%s %s, ", words->row, s->row);
		buf_addf(b, "%s %s", words->seat, s->seat);
		if (*s->category)
			buf_addf(b, " · %s", s->category);
		if (s->price.currency) {
			buf_adds(b, " · ");
			words_price(words, s->price, b);
		}
	}
	take(l, LETTER_seats, b);
}

/* The gateway's codes that a buyer can do something about; all others are "the bank says no". */
static enum letter_value decline_value(const char *code)
{
	static const struct {
		const char *begins;
		enum letter_value value;
	} known[] = {{"insufficient_funds", LETTER_decline_funds},
		     {"expired_card", LETTER_decline_expired},
		     {"incorrect_", LETTER_decline_typing},
		     {"invalid_cvc", LETTER_decline_typing},
		     {"invalid_expiry", LETTER_decline_typing},
		     {"invalid_number", LETTER_decline_typing},
		     {"authentication_", LETTER_decline_confirm},
		     {"payment_intent_authentication_failure", LETTER_decline_confirm}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strncmp(code, known[i].begins, strlen(known[i].begins)) == 0)
			return known[i].value;
	return LETTER_decline_other;
}

bool letter_facts(struct letter *l, const struct letter_facts *f)
{
	struct when_zone *zone = when_zone_open(f->timezone);
	struct when w;
	struct buf b;

	if (!zone)
		return false;
	buf_init(&b, VALUE_MAX);
	set_line(l, LETTER_name, f->name, " ", &b);
	set_line(l, LETTER_event, f->event, " ", &b);
	set_line(l, LETTER_organizer, f->organizer, " ", &b);
	set_line(l, LETTER_venue, f->venue, " ", &b);
	set_line(l, LETTER_address, f->address, ", ", &b);
	set(l, LETTER_reference, f->reference);
	set(l, LETTER_link, f->link);
	set(l, LETTER_holder, f->holder ? "1" : "");
	set(l, LETTER_partly, f->partly ? "1" : "");
	set(l, LETTER_lost, f->lost ? "1" : "");
	set(l, LETTER_by_staff, f->by_staff ? "1" : "");
	set(l, LETTER_stuck, f->stuck ? "1" : "");
	if (when_zone_local(zone, f->starts_at_us, &w)) {
		when_date(&w, l->tag, &b);
		take(l, LETTER_date, &b);
		when_time(&w, l->tag, &b);
		take(l, LETTER_time, &b);
		buf_addf(&b, "%s, %s", w.zone, f->timezone);
		take(l, LETTER_timezone, &b);
	}
	set_instant(l, LETTER_until, f->until_us, zone, &b);
	set_instant(l, LETTER_cancel_until, f->cancel_until_us, zone, &b);
	set_instant(l, LETTER_refund_until, f->refund_until_us, zone, &b);
	set_money(l, LETTER_total, f->total, &b);
	set_money(l, LETTER_refund, f->refund, &b);
	set_money(l, LETTER_fee, f->fee, &b);
	set_seats(l, f, &b);
	if (f->declined) {
		set(l, LETTER_decline, "1");
		set(l, decline_value(f->decline_code ? f->decline_code : ""), "1");
	}
	when_zone_close(zone);
	buf_done(&b);
	return true;
}
