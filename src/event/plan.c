/*
 * A finished plan: lifetime, views, lookup by guid and what its texts mean. Made by plan_import.c, read by everybody.
 */
#include "event/plan.h"

#include "base/xmalloc.h"
#include "event/plan_model.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct plan *plan_ref(struct plan *p)
{
	p->refs++;
	return p;
}

void plan_unref(struct plan *p)
{
	if (!p)
		return;
	assert(p->refs > 0);
	if (--p->refs)
		return;
	free(p->category);
	free(p->zone);
	free(p->row);
	free(p->seat);
	free(p->spot);
	free(p->guid_slot);
	free(p->text);
	free(p);
}

struct str plan_name(const struct plan *p)
{
	return plan_slice(p, p->name);
}

void plan_size(const struct plan *p, int64_t *ret_width, int64_t *ret_height)
{
	*ret_width = p->width;
	*ret_height = p->height;
}

uint32_t plan_n_categories(const struct plan *p)
{
	return p->n_categories;
}

uint32_t plan_n_zones(const struct plan *p)
{
	return p->n_zones;
}

uint32_t plan_n_rows(const struct plan *p)
{
	return p->n_rows;
}

uint32_t plan_n_seats(const struct plan *p)
{
	return p->n_seats;
}

struct plan_category plan_category(const struct plan *p, uint32_t category)
{
	const struct plan_category_rec *c = &p->category[category];

	assert(category < p->n_categories);
	return (struct plan_category){plan_slice(p, c->name), plan_slice(p, c->color), c->seats, c->accessible};
}

struct plan_zone plan_zone(const struct plan *p, uint32_t zone)
{
	const struct plan_zone_rec *z = &p->zone[zone];

	assert(zone < p->n_zones);
	return (struct plan_zone){plan_slice(p, z->name), z->first_row, z->n_rows, plan_slice(p, z->areas)};
}

struct plan_row plan_row(const struct plan *p, uint32_t row)
{
	const struct plan_row_rec *r = &p->row[row];

	assert(row < p->n_rows);
	return (struct plan_row){plan_slice(p, r->number), plan_slice(p, r->label), r->zone, r->first_seat, r->n_seats};
}

struct plan_seat plan_seat(const struct plan *p, uint32_t seat_no)
{
	const struct plan_seat_rec *s = &p->seat[seat_no];

	assert(seat_no < p->n_seats);
	return (struct plan_seat){
		.guid = {p->text + s->guid_at, s->guid_n},
		.number = {p->text + s->number_at, s->number_n},
		.label = {p->text + s->label_at, s->label_n},
		.x = s->x,
		.y = s->y,
		.radius = plan_round((double)s->radius),
		.row = s->row,
		.category = s->category,
		.accessible = s->accessible,
	};
}

struct str plan_seat_guid(const struct plan *p, uint32_t seat_no)
{
	assert(seat_no < p->n_seats);
	return (struct str){p->text + p->seat[seat_no].guid_at, p->seat[seat_no].guid_n};
}

uint32_t plan_seat_category(const struct plan *p, uint32_t seat_no)
{
	assert(seat_no < p->n_seats);
	return p->seat[seat_no].category;
}

/* Multiply and fold; quick and well mixed. Not a MAC: it only has to be unknown to who wrote the guids (the seed
 * depends on the whole text). */
uint64_t plan_hash(struct str s, uint64_t seed)
{
	const uint64_t k = UINT64_C(0x9E3779B97F4A7C15);
	uint64_t h = seed ^ (s.n * k);

	while (s.n) {
		uint64_t word = 0;
		size_t n = s.n < 8 ? s.n : 8;
		unsigned __int128 m;

		memcpy(&word, s.p, n);
		m = (unsigned __int128)(h ^ word ^ k) * UINT64_C(0xD6E8FEB86659FD93);
		h = (uint64_t)(m >> 64) ^ (uint64_t)m;
		s.p += n;
		s.n -= n;
	}
	return h ^ h >> 32;
}

int64_t plan_seat_by_guid(const struct plan *p, struct str guid)
{
	for (uint32_t i = (uint32_t)plan_hash(guid, p->hash_seed) & p->guid_mask; p->guid_slot[i];
	     i = (i + 1) & p->guid_mask)
		if (str_eq(plan_seat_guid(p, p->guid_slot[i] - 1), guid))
			return p->guid_slot[i] - 1;
	return -1;
}

int plan_category_by_name(const struct plan *p, struct str name)
{
	for (uint32_t i = 0; i < p->n_categories; i++)
		if (str_eq(plan_slice(p, p->category[i].name), name))
			return (int)i;
	return -1;
}

/* Lower case for ASCII and Latin-1's letters (two bytes, C3 80..9E): enough for the words looked for. */
static unsigned char fold(const char *p, size_t i)
{
	unsigned char c = (unsigned char)p[i];

	if (c >= 'A' && c <= 'Z')
		return (unsigned char)(c + 32);
	if (i && (unsigned char)p[i - 1] == 0xC3 && c >= 0x80 && c <= 0x9E && c != 0x97)
		return (unsigned char)(c + 32);
	return c;
}

/* words in lower case */
static bool contains_any(struct str text, const char *const *words)
{
	for (; *words; words++) {
		size_t n = strlen(*words);

		for (size_t from = 0; from + n <= text.n; from++) {
			size_t k = 0;

			while (k < n && fold(text.p, from + k) == (unsigned char)(*words)[k])
				k++;
			if (k == n)
				return true;
		}
	}
	return false;
}

bool plan_text_accessible(struct str text)
{
	static const char *const words[] = {"wheelchair", "accessible", "rollstuhl", "車椅子", "♿", NULL};
	static const char *const not_words[] = {"inaccessible", "not accessible", NULL};

	return contains_any(text, words) && !contains_any(text, not_words);
}

bool plan_text_stage(struct str text)
{
	static const char *const words[] = {"stage",	 "bühne", "buehne",	"screen", "leinwand", "scène",
					    "escenario", "舞台",  "スクリーン", "무대",	  NULL};
	static const char *const not_words[] = {"backstage", NULL};

	return contains_any(text, words) && !contains_any(text, not_words);
}

const struct plan_spot *plan_spots(const struct plan *p)
{
	return p->spot;
}

void plan_front(const struct plan *p, double *ret_x, double *ret_y)
{
	*ret_x = p->front_x;
	*ret_y = p->front_y;
}

size_t plan_memory(const struct plan *p)
{
	return sizeof(*p) + p->n_categories * sizeof(*p->category) + p->n_zones * sizeof(*p->zone) +
	       p->n_rows * sizeof(*p->row) + p->n_seats * (sizeof(*p->seat) + sizeof(*p->spot)) +
	       ((size_t)p->guid_mask + 1) * sizeof(*p->guid_slot) + p->text_n;
}

double plan_round(double v)
{
	return (double)llround(v * 1e6) / 1e6;
}

size_t plan_decimal(double v, char *out)
{
	int64_t micro = llround(v * 1e6);
	uint64_t u = micro < 0 ? (uint64_t)-micro : (uint64_t)micro;
	uint64_t whole = u / 1000000, part = u % 1000000;
	char digits[24];
	size_t n = 0, i = sizeof(digits);

	if (micro < 0)
		out[n++] = '-';
	do
		digits[--i] = (char)('0' + whole % 10);
	while (whole /= 10);
	memcpy(out + n, digits + i, sizeof(digits) - i);
	n += sizeof(digits) - i;
	if (part) {
		out[n++] = '.';
		for (uint64_t unit = 100000; part; unit /= 10) {
			out[n++] = (char)('0' + part / unit);
			part %= unit;
		}
	}
	return n;
}

struct str plan_cut(struct str s, size_t n)
{
	if (s.n <= n)
		return s;
	while (n && ((unsigned char)s.p[n] & 0xC0) == 0x80)
		n--;
	return (struct str){s.p, n};
}
