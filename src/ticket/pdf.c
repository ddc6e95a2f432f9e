/*
 * Draws the pages with cairo and pango; the only user of both.
 *
 * One document at a time in a process, behind a lock, with one font map that is kept (a new one per document would load
 * every font again). Threads may draw at once, the manuals say, if each has a font map of its own; but with cairo 1.16 and
 * pango 1.50 test_pdf's test_threads then crashed in cairo_surface_finish, or gave different bytes, in four runs of eight.
 * Behind the lock it passed twenty of twenty. So a pool gains nothing from a second thread here; processes do, each has
 * its own lock.
 *
 *	+--------------------------------------------------+
 *	| organizer                          |   QR code   |   the card: the upper half, so that the sheet folds to A5
 *	| Event name, large                  |             |
 *	| date        time      doors        |  reference  |
 *	| venue                              |    1 of 2   |
 *	| name        category  price        |             |
 *	| [ section      row       seat    ] |             |
 *	+--------------------------------------------------+
 *	- - - - - - - - - - - - fold - - - - - - - - - - - -
 *	  how to use it, terms, the code as text
 *
 * Every text stands in a box (struct place) and cannot leave it: it is wrapped, made smaller, ended by an ellipsis, and
 * at last clipped (for what hangs out of its line, like stacked accents).
 */
#include "ticket/pdf.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "ticket/code.h"
#include "ticket/qr.h"
#include "ticket/when.h"
#include "ticket/words.h"

#include <cairo-pdf.h>
#include <math.h>
#include <pango/pangocairo.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* The exception to "no mutable globals": what is guarded is global, inside the library. */
static pthread_mutex_t drawing = PTHREAD_MUTEX_INITIALIZER;
static PangoFontMap *fonts; /* guarded by drawing; made at the first document, never freed */

#define MM (72.0 / 25.4)
static const double page_w = 210 * MM, page_h = 297 * MM, margin = 15 * MM;

/* More than ever fits its place: what follows is not laid out at all, so that a long text costs no time. */
enum { FIELD_BYTES_MAX = 1200, TERMS_BYTES_MAX = 6000 };

static const uint32_t ink = 0x1a1a1e, line = 0xd4d4da, tint = 0xf3f3f6;

struct pen {
	cairo_t *cr;
	PangoLayout *layout;
	const struct words *words;
	const struct ticket_document *doc;
};

struct place {
	double x, y, w, h;
};

enum align { START, CENTRE };

struct type {
	double size, size_min; /* points */
	bool bold;
	uint32_t rgb;
	enum align align;
	bool lines; /* more than one line */
};

static void set_rgb(cairo_t *cr, uint32_t rgb)
{
	cairo_set_source_rgb(cr, (rgb >> 16 & 255) / 255.0, (rgb >> 8 & 255) / 255.0, (rgb & 255) / 255.0);
}

/* Characters with no picture: controls, separators that would start a paragraph, and the noncharacters, for which cairo
 * refuses the whole document. */
static bool is_blank(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || (c & 0xfffe) == 0xfffe ||
	       (c >= 0xfdd0 && c <= 0xfdef);
}

/* Well-formed UTF-8 in and out: blanks for what has no picture, none at the end, cut between characters. out holds
 * max + 1 bytes. */
static struct str clean(const char *text, size_t max, bool keep_newline, char *out)
{
	size_t n = strnlen(text, max + 1), o = 0, size;

	for (size_t i = 0; i < n; i += size) {
		unsigned char first = (unsigned char)text[i];
		uint32_t c = first < 0x80   ? first
			     : first < 0xe0 ? first & 0x1f
			     : first < 0xf0 ? first & 0x0f
					    : first & 0x07;

		size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
		if (i + size > max || i + size > n)
			break;
		for (size_t k = 1; k < size; k++)
			c = c << 6 | ((unsigned char)text[i + k] & 0x3f);
		if (is_blank(c) && !(c == '\n' && keep_newline)) {
			out[o++] = ' ';
			continue;
		}
		memcpy(out + o, text + i, size);
		o += size;
	}
	while (o && (out[o - 1] == ' ' || out[o - 1] == '\n'))
		o--;
	out[o] = '\0';
	return (struct str){out, o};
}

static void set_font(struct pen *p, const struct type *t, double size)
{
	PangoFontDescription *font = pango_font_description_new();

	/* left to itself fontconfig may take an ornamental one for Arabic, whose ligatures do not read back */
	pango_font_description_set_family_static(font, "Noto Sans,Noto Sans Arabic,sans-serif");
	pango_font_description_set_weight(font, t->bold ? PANGO_WEIGHT_BOLD : PANGO_WEIGHT_NORMAL);
	pango_font_description_set_size(font, (int)(size * PANGO_SCALE));
	pango_layout_set_font_description(p->layout, font);
	pango_font_description_free(font);
}

/* Returns the height used, 0 for no text. */
static double put(struct pen *p, const char *text, const struct place *at, const struct type *t)
{
	char copy[TERMS_BYTES_MAX + 1];
	struct str s = clean(text ? text : "", t->lines ? TERMS_BYTES_MAX : FIELD_BYTES_MAX, t->lines, copy);
	bool rtl;
	int height;

	if (s.n == 0)
		return 0;
	pango_layout_set_text(p->layout, s.p, (int)s.n);
	/* Pango takes "left" for the start of a line; on this page everything starts at the left, whatever its script */
	rtl = pango_layout_get_direction(p->layout, 0) == PANGO_DIRECTION_RTL;
	pango_layout_set_alignment(p->layout, t->align == CENTRE ? PANGO_ALIGN_CENTER
					      : rtl		 ? PANGO_ALIGN_RIGHT
								 : PANGO_ALIGN_LEFT);
	pango_layout_set_width(p->layout, (int)(at->w * PANGO_SCALE));
	for (double size = t->size;; size = fmax(size * 0.86, t->size_min)) {
		set_font(p, t, size);
		/* height: a number of lines when negative */
		pango_layout_set_height(p->layout, t->lines ? (int)(at->h * PANGO_SCALE) : -1);
		pango_layout_get_size(p->layout, NULL, &height);
		if (size <= t->size_min || (!pango_layout_is_ellipsized(p->layout) && height <= at->h * PANGO_SCALE))
			break;
	}
	cairo_save(p->cr);
	cairo_rectangle(p->cr, at->x - 1, at->y - 1, at->w + 2, at->h + 2);
	cairo_clip(p->cr);
	set_rgb(p->cr, t->rgb);
	cairo_move_to(p->cr, at->x, at->y);
	pango_cairo_show_layout(p->cr, p->layout);
	cairo_restore(p->cr);
	return fmin(height / (double)PANGO_SCALE, at->h);
}

/* A small label and its value beneath, on as many lines as at.h allows; nothing when there is no value. */
static void put_field(struct pen *p, const char *label, const char *value, struct place at, double size)
{
	static const struct type label_type = {.size = 7.5, .size_min = 6, .rgb = 0x6a6a72};
	struct type value_type = {.size = size, .size_min = 7, .bold = true, .rgb = ink, .lines = at.h >= 36};

	if (!value || !*value)
		return;
	put(p, label, &(struct place){at.x, at.y, at.w, 11}, &label_type);
	put(p, value, &(struct place){at.x, at.y + 11.5, at.w, at.h - 11.5}, &value_type);
}

static void rounded(cairo_t *cr, struct place at, double r)
{
	cairo_new_sub_path(cr);
	cairo_arc(cr, at.x + at.w - r, at.y + r, r, -M_PI / 2, 0);
	cairo_arc(cr, at.x + at.w - r, at.y + at.h - r, r, 0, M_PI / 2);
	cairo_arc(cr, at.x + r, at.y + at.h - r, r, M_PI / 2, M_PI);
	cairo_arc(cr, at.x + r, at.y + r, r, M_PI, 3 * M_PI / 2);
	cairo_close_path(cr);
}

static void dashed(cairo_t *cr, double x1, double y1, double x2, double y2)
{
	static const double dashes[] = {2.5, 3};

	cairo_save(cr);
	cairo_set_dash(cr, dashes, 2, 0);
	cairo_set_line_width(cr, 0.8);
	set_rgb(cr, 0xb8b8c0);
	cairo_move_to(cr, x1, y1);
	cairo_line_to(cr, x2, y2);
	cairo_stroke(cr);
	cairo_restore(cr);
}

/*
 * side covers the modules alone; the caller leaves the quiet zone white around it. A stencil, because a path of some 600
 * rectangles costs a third of the whole document (its coordinates are printed one by one); eight pixels a module, because
 * some viewers smooth images.
 */
static void draw_qr(cairo_t *cr, const struct qr *qr, double x, double y, double side)
{
	enum { SCALE = 8 };
	int pixels = qr->size * SCALE, stride;
	cairo_surface_t *image = cairo_image_surface_create(CAIRO_FORMAT_A8, pixels, pixels);
	cairo_pattern_t *pattern;
	unsigned char *data;

	stride = cairo_image_surface_get_stride(image);
	data = cairo_image_surface_get_data(image);
	if (data) { /* NULL: no memory, which the document's status then says */
		for (int row = 0; row < pixels; row++)
			for (int col = 0; col < pixels; col++)
				data[row * stride + col] = qr_dark(qr, col / SCALE, row / SCALE) ? 255 : 0;
		cairo_surface_mark_dirty(image);
	}
	pattern = cairo_pattern_create_for_surface(image);
	cairo_pattern_set_filter(pattern, CAIRO_FILTER_NEAREST);
	cairo_save(cr);
	cairo_translate(cr, x, y);
	cairo_scale(cr, side / pixels, side / pixels);
	cairo_set_source_rgb(cr, 0, 0, 0);
	cairo_mask(cr, pattern);
	cairo_restore(cr);
	cairo_pattern_destroy(pattern);
	cairo_surface_destroy(image);
}

/* The seat as an usher needs it: three large values, the first with half of the room. */
static void draw_seat(struct pen *p, const struct ticket_document_seat *seat, struct place at)
{
	static const struct type label = {.size = 7.5, .size_min = 6, .rgb = 0x6a6a72};
	static const struct type value = {.size = 27, .size_min = 9, .bold = true, .rgb = 0x1a1a1e};
	const struct {
		const char *label, *value;
		double share;
	} parts[] = {{p->words->zone, seat->zone, 2}, {p->words->row, seat->row, 1}, {p->words->seat, seat->seat, 1}};
	double shares = 0, x = at.x + 12;

	set_rgb(p->cr, tint);
	rounded(p->cr, at, 6);
	cairo_fill(p->cr);
	for (size_t i = 0; i < 3; i++)
		shares += parts[i].value && *parts[i].value ? parts[i].share : 0;
	for (size_t i = 0; i < 3; i++) {
		double w = (at.w - 16) * parts[i].share / (shares > 0 ? shares : 1);
		struct type t = value;

		if (!parts[i].value || !*parts[i].value)
			continue;
		/* "Orchestra left, boxes" reads better on two lines than tiny on one */
		t.lines = i == 0 && strlen(parts[i].value) > 12;
		if (t.lines)
			t.size = 17;
		put(p, parts[i].label, &(struct place){x, at.y + 8, w - 10, 11}, &label);
		put(p, parts[i].value, &(struct place){x, at.y + 19, w - 10, at.h - 23}, &t);
		x += w;
	}
}

static void draw_stub(struct pen *p, const struct ticket_document_seat *seat, const struct qr *qr, size_t number,
		      struct place at)
{
	static const struct type label = {.size = 7.5, .size_min = 6, .rgb = 0x6a6a72, .align = CENTRE};
	static const struct type reference = {
		.size = 14, .size_min = 7, .bold = true, .rgb = 0x1a1a1e, .align = CENTRE};
	static const struct type note = {.size = 9, .size_min = 6, .rgb = 0x1a1a1e, .align = CENTRE};
	double side = 42 * MM, x = at.x + (at.w - side) / 2, y = at.y + 32;
	struct buf count;

	draw_qr(p->cr, qr, x, y, side);
	y += side + 30;
	if (p->doc->reference && *p->doc->reference) {
		put(p, p->words->reference, &(struct place){at.x, y, at.w, 11}, &label);
		put(p, p->doc->reference, &(struct place){at.x, y + 11, at.w, 22}, &reference);
		y += 44;
	}
	buf_init(&count, 128);
	words_numbers(p->words->n_of_m, (int64_t)number, (int64_t)p->doc->n_seats, &count);
	put(p, count.p, &(struct place){at.x, y, at.w, 14}, &note);
	buf_done(&count);
	if (seat->accessible)
		put(p, p->words->accessible, &(struct place){at.x, y + 16, at.w, 14}, &note);
}

struct texts {
	struct buf date, time, doors, issued, price;
};

static void draw_card(struct pen *p, const struct ticket_document_seat *seat, const struct texts *texts,
		      const struct qr *qr, size_t number, struct place card)
{
	static const struct type small = {.size = 9, .size_min = 7, .rgb = 0x6a6a72};
	static const struct type event = {.size = 25, .size_min = 11, .bold = true, .rgb = 0x1a1a1e, .lines = true};
	static const struct type venue = {.size = 12, .size_min = 8, .bold = true, .rgb = 0x1a1a1e};
	static const struct type address = {.size = 9.5, .size_min = 7.5, .rgb = 0x6a6a72, .lines = true};
	static const struct type label = {.size = 7.5, .size_min = 6, .rgb = 0x6a6a72};
	double stub_w = 57 * MM, x = card.x + 20, w = card.w - stub_w - 34, y = card.y;
	/* shares of the width that date, time and doors begin at */
	double at_time = texts->doors.n ? w * 0.55 : w * 0.70, at_doors = w * 0.785;
	const struct ticket_document *d = p->doc;

	cairo_save(p->cr);
	rounded(p->cr, card, 10);
	cairo_clip(p->cr);
	set_rgb(p->cr, seat->category_rgb >= 0 ? (uint32_t)seat->category_rgb : ink);
	cairo_rectangle(p->cr, card.x, card.y, 7, card.h);
	cairo_fill(p->cr);
	cairo_restore(p->cr);
	set_rgb(p->cr, line);
	cairo_set_line_width(p->cr, 0.8);
	rounded(p->cr, card, 10);
	cairo_stroke(p->cr);
	dashed(p->cr, card.x + card.w - stub_w, card.y + 10, card.x + card.w - stub_w, card.y + card.h - 10);

	put(p, d->organizer_name && *d->organizer_name ? d->organizer_name : p->words->ticket,
	    &(struct place){x, y + 17, w, 14}, &small);
	put(p, d->event_name, &(struct place){x, y + 32, w, 78}, &event);
	y += 122;
	put_field(p, p->words->date, texts->date.p, (struct place){x, y, at_time - 12, 30}, texts->doors.n ? 12 : 13);
	put_field(p, p->words->time, texts->time.p,
		  (struct place){x + at_time, y, (texts->doors.n ? at_doors : w) - at_time - 8, 30},
		  texts->doors.n ? 12 : 13);
	if (texts->doors.n)
		put_field(p, p->words->doors, texts->doors.p, (struct place){x + at_doors, y, w - at_doors, 30}, 12);
	y += 40;
	if (d->venue_name && *d->venue_name) {
		put(p, p->words->venue, &(struct place){x, y, w, 11}, &label);
		put(p, d->venue_name, &(struct place){x, y + 11.5, w, 17}, &venue);
		put(p, d->venue_address, &(struct place){x, y + 28, w, 27}, &address);
	}
	y += 64;
	put_field(p, p->words->name, d->buyer_name, (struct place){x, y, w * 0.44 - 10, 37}, 11);
	put_field(p, p->words->category, seat->category, (struct place){x + w * 0.44, y, w * 0.30 - 10, 37}, 11);
	put_field(p, p->words->price, texts->price.p, (struct place){x + w * 0.74, y, w * 0.26, 28}, 11);
	draw_seat(p, seat, (struct place){x, card.y + card.h - 82, w, 66});
	draw_stub(p, seat, qr, number, (struct place){card.x + card.w - stub_w + 6, card.y, stub_w - 12, card.h});
}

/* The lower half: what to do with it, the small print, and the code as text for a door whose camera is broken. */
static void draw_below(struct pen *p, const struct ticket_document_seat *seat, const struct texts *texts, double y)
{
	static const struct type body = {.size = 11, .size_min = 8, .rgb = 0x1a1a1e, .lines = true};
	static const struct type heading = {.size = 9, .size_min = 7, .bold = true, .rgb = 0x1a1a1e};
	static const struct type terms = {.size = 8.5, .size_min = 6, .rgb = 0x6a6a72, .lines = true};
	static const struct type code = {.size = 7, .size_min = 5, .rgb = 0x6a6a72, .lines = true};
	static const struct type foot = {.size = 7, .size_min = 6, .rgb = 0x6a6a72};
	double w = page_w - 2 * margin, bottom = page_h - margin;
	char text[TICKET_CODE_TEXT + 2];
	double used;

	used = put(p, p->words->at_the_door, &(struct place){margin, y, w, 46}, &body);
	y += used + 18;
	if (p->doc->terms && *p->doc->terms) {
		put(p, p->words->terms, &(struct place){margin, y, w, 14}, &heading);
		put(p, p->doc->terms, &(struct place){margin, y + 15, w, bottom - 70 - y - 15}, &terms);
	}
	/* Broken in two: a line of its 176 characters would be too small to read out, and whoever copies both lines gets a
	 * blank that is easily taken out. */
	memcpy(text, seat->code, TICKET_CODE_LENGTH / 2);
	text[TICKET_CODE_LENGTH / 2] = '\n';
	memcpy(text + TICKET_CODE_LENGTH / 2 + 1, seat->code + TICKET_CODE_LENGTH / 2, TICKET_CODE_LENGTH / 2 + 1);
	put(p, p->words->code, &(struct place){margin, bottom - 55, w, 12}, &heading);
	put(p, text, &(struct place){margin, bottom - 41, w, 22}, &code);
	put(p, texts->issued.p, &(struct place){margin, bottom - 10, w, 11}, &foot);
}

static cairo_status_t write_to_buf(void *arg, const unsigned char *data, unsigned n)
{
	return buf_add(arg, data, n) ? CAIRO_STATUS_SUCCESS : CAIRO_STATUS_WRITE_ERROR;
}

static cairo_surface_t *surface_new(const struct ticket_document *d, struct buf *out)
{
	cairo_surface_t *s = cairo_pdf_surface_create_for_stream(write_to_buf, out, page_w, page_h);
	char text[TIME_TEXT_MAX], title[FIELD_BYTES_MAX + 1];

	time_format(d->issued_at_us, text);
	cairo_pdf_surface_set_metadata(s, CAIRO_PDF_METADATA_CREATE_DATE, text); /* else the clock is read */
	clean(d->event_name ? d->event_name : "", FIELD_BYTES_MAX, false, title);
	cairo_pdf_surface_set_metadata(s, CAIRO_PDF_METADATA_TITLE, title);
	clean(d->organizer_name ? d->organizer_name : "", FIELD_BYTES_MAX, false, title);
	cairo_pdf_surface_set_metadata(s, CAIRO_PDF_METADATA_AUTHOR, title);
	return s;
}

static PangoLayout *layout_new(cairo_t *cr, const char *locale)
{
	PangoContext *context;
	PangoLayout *layout;

	if (!fonts)
		fonts = pango_cairo_font_map_new();
	context = pango_font_map_create_context(fonts);
	pango_cairo_update_context(cr, context);
	/* the language chooses between the Chinese, Japanese and Korean forms of a character */
	pango_context_set_language(context, pango_language_from_string(locale && *locale ? locale : "en"));
	pango_cairo_context_set_resolution(context, 72); /* one unit is a point */
	pango_context_set_round_glyph_positions(context, FALSE);
	layout = pango_layout_new(context);
	g_object_unref(context);
	pango_layout_set_wrap(layout, PANGO_WRAP_WORD_CHAR);
	pango_layout_set_ellipsize(layout, PANGO_ELLIPSIZE_END);
	return layout;
}

static bool texts_make(struct texts *t, const struct ticket_document *d, const struct words *words,
		       struct error *ret_error)
{
	struct when_zone *zone = when_zone_open(d->timezone);
	struct when starts, doors, issued;
	bool ok = zone && when_zone_local(zone, d->starts_at_us, &starts) &&
		  when_zone_local(zone, d->doors_at_us, &doors) && when_zone_local(zone, d->issued_at_us, &issued);

	when_zone_close(zone);
	if (!ok)
		return error_set(ret_error, ERR_INVALID_VALUE, "/timezone", "unknown time zone or a time out of range");
	when_date(&starts, d->locale, &t->date);
	when_time(&starts, d->locale, &t->time);
	if (d->doors_at_us)
		when_time(&doors, d->locale, &t->doors);
	buf_addf(&t->issued, "%s: ", words->issued);
	when_date(&issued, d->locale, &t->issued);
	buf_adds(&t->issued, ", ");
	when_time(&issued, d->locale, &t->issued);
	buf_addf(&t->issued, " (%s)", d->timezone);
	return true;
}

static bool document_check(const struct ticket_document *d, struct error *ret_error)
{
	if (d->n_seats == 0 || d->n_seats > TICKET_DOCUMENT_SEATS_MAX)
		return error_set(ret_error, ERR_INVALID_VALUE, "/seats", "1 to %d tickets", TICKET_DOCUMENT_SEATS_MAX);
	for (size_t i = 0; i < d->n_seats; i++) {
		struct ticket_code code;

		if (!ticket_code_parse(str_from(d->seats[i].code), &code))
			return error_set(ret_error, ERR_INVALID_VALUE, "/seats/code", "not a ticket code");
	}
	return true;
}

static bool draw_pages(struct pen *p, struct texts *texts)
{
	const struct place card = {margin, margin, page_w - 2 * margin, page_h / 2 - margin - 10 * MM};
	struct qr qr;

	for (size_t i = 0; i < p->doc->n_seats; i++) {
		const struct ticket_document_seat *seat = &p->doc->seats[i];

		if (!qr_encode(str_from(seat->code), &qr))
			return false;
		buf_reset(&texts->price);
		if (seat->price.currency)
			words_price(p->words, seat->price, &texts->price);
		draw_card(p, seat, texts, &qr, i + 1, card);
		dashed(p->cr, 0, page_h / 2, page_w, page_h / 2);
		draw_below(p, seat, texts, page_h / 2 + 11 * MM);
		cairo_show_page(p->cr);
	}
	return true;
}

bool ticket_pdf_render(const struct ticket_document *d, struct buf *out, struct error *ret_error)
{
	struct pen p = {.doc = d, .words = words_for(d->locale)};
	cairo_surface_t *surface;
	struct texts texts;
	bool ok;

	if (!document_check(d, ret_error))
		return false;
	buf_init(&texts.date, 256);
	buf_init(&texts.time, 64);
	buf_init(&texts.doors, 64);
	buf_init(&texts.issued, 512);
	buf_init(&texts.price, 128);
	ok = texts_make(&texts, d, p.words, ret_error);
	if (ok) {
		pthread_mutex_lock(&drawing);
		surface = surface_new(d, out);
		p.cr = cairo_create(surface);
		p.layout = layout_new(p.cr, d->locale);
		ok = draw_pages(&p, &texts);
		g_object_unref(p.layout);
		cairo_destroy(p.cr);
		cairo_surface_finish(surface);
		if (!ok || cairo_surface_status(surface) != CAIRO_STATUS_SUCCESS || out->failed)
			ok = error_set(ret_error, ERR_INTERNAL, "", "the document could not be drawn: %s",
				       cairo_status_to_string(cairo_surface_status(surface)));
		cairo_surface_destroy(surface);
		pthread_mutex_unlock(&drawing);
	}
	buf_done(&texts.date);
	buf_done(&texts.time);
	buf_done(&texts.doors);
	buf_done(&texts.issued);
	buf_done(&texts.price);
	return ok;
}

struct ticket_document *ticket_document_new(void)
{
	struct ticket_document *d = xcalloc(1, sizeof(*d));

	arena_init(&d->arena);
	return d;
}

void ticket_document_free(struct ticket_document *d)
{
	if (!d)
		return;
	arena_done(&d->arena);
	free(d);
}

struct ticket_pdf_job *ticket_pdf_job_new(struct ticket_document *d_take)
{
	struct ticket_pdf_job *job = xcalloc(1, sizeof(*job));

	job->document = d_take;
	buf_init(&job->pdf, TICKET_PDF_PAGE_MAX + d_take->n_seats * TICKET_PDF_PAGE_MAX);
	return job;
}

void ticket_pdf_job_run(void *arg)
{
	struct ticket_pdf_job *job = arg;

	job->ok = ticket_pdf_render(job->document, &job->pdf, &job->error);
}

void ticket_pdf_job_free(void *arg)
{
	struct ticket_pdf_job *job = arg;

	ticket_document_free(job->document);
	buf_done(&job->pdf);
	free(job);
}
