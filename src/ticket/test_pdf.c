/* That every document comes out whole: any text, many threads, the same bytes each time. What is on the page is read
 * back in tests/integration/test_ticket_render.py. */
#include "base/times.h"
#include "io/crypto.h"
#include "ticket/code.h"
#include "ticket/pdf.h"

#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char code[TICKET_CODE_TEXT];

static struct ticket_document *document(size_t n_seats, const char *text)
{
	struct ticket_document *d = ticket_document_new();

	d->locale = "de";
	d->event_name = d->organizer_name = d->venue_name = d->venue_address = d->buyer_name = d->reference = d->terms =
		text;
	d->timezone = "Europe/Berlin";
	d->starts_at_us = INT64_C(1796409000) * US_PER_SECOND;
	d->doors_at_us = d->starts_at_us - US_PER_HOUR;
	d->issued_at_us = INT64_C(1795428000) * US_PER_SECOND;
	d->n_seats = n_seats;
	d->seats = arena_array(&d->arena, struct ticket_document_seat, n_seats ? n_seats : 1);
	for (size_t i = 0; i < n_seats; i++)
		d->seats[i] = (struct ticket_document_seat){
			.zone = text,
			.row = text,
			.seat = text,
			.category = text,
			.category_rgb = 0x9b2335,
			.accessible = true,
			.price = {4500, currency_find(STR("EUR"))},
			.code = code,
		};
	return d;
}

/* Takes the document; returns the job, run. */
static struct ticket_pdf_job *run(struct ticket_document *d)
{
	struct ticket_pdf_job *job = ticket_pdf_job_new(d);

	ticket_pdf_job_run(job);
	return job;
}

static void assert_whole(const struct ticket_pdf_job *job)
{
	if (!job->ok)
		fail_msg("not drawn: %s %s", job->error.path, job->error.detail);
	assert_true(job->pdf.n > 1000);
	assert_memory_equal(job->pdf.p, "%PDF-", 5);
	assert_memory_equal(job->pdf.p + job->pdf.n - 6, "%%EOF\n", 6);
}

/* Texts that have broken layouts elsewhere. */
static const char *const texts[] = {
	"A Midsummer Night’s Dream",
	"",
	" ",
	"\n",
	"\x01\x02\x03\t\r\n\x1b[31m\x7f",
	"\xc2\x80\xc2\x9f",		   /* C1 controls */
	"a \xe2\x80\xa8 b \xe2\x80\xa9 c", /* line and paragraph separators */
	"\xe2\x80\xae live \xe2\x80\xac",  /* right-to-left override */
	"\xe2\x80\xae\xe2\x80\xae\xe2\x80\xae",
	"\xef\xbf\xbf \xef\xbf\xbe \xf4\x8f\xbf\xbf", /* noncharacters */
	"\xee\x80\x80\xf3\xb0\x80\x80",		      /* private use: no font has them */
	"ألف ليلة وليلة",
	"מסרח הבימה",
	"欧阳晓明 仲夏夜之梦",
	"👩‍👩‍👧🎭🏳️‍🌈",
	"Z̸̢̛̙̘̦̺̻̋̊̄a̵͎͐l̷̰̈́g̴̨͎̀̓o̵͓̔",
	"हिन्दी ไทย ខ្មែរ မြန်မာ",
	"<b>&amp;</b> %s %n {} (\\) /Type",
};

static void test_any_text(void **state)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct ticket_pdf_job *job = run(document(1, texts[i]));

		assert_whole(job);
		ticket_pdf_job_free(job);
	}
}

static void test_long_text(void **state)
{
	static const char *const units[] = {
		"X", "Wort ", "字", "ع", "👩‍👩‍👧", "\n", "a\xcc\x81\xcc\x82\xcc\x83\xcc\x84"};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		for (size_t n = 200; n <= 20000; n *= 100) {
			struct ticket_document *d = document(1, NULL);
			struct ticket_pdf_job *job;
			struct buf b;

			buf_init(&b, 1 << 20);
			for (size_t k = 0; k < n; k++)
				buf_adds(&b, units[i]);
			d->event_name = d->venue_address = d->buyer_name = d->terms = d->reference = d->organizer_name =
				b.p;
			d->seats[0].zone = d->seats[0].row = d->seats[0].seat = d->seats[0].category = b.p;
			job = run(d);
			assert_whole(job);
			assert_true(job->pdf.n < 200000);
			ticket_pdf_job_free(job);
			buf_done(&b);
		}
}

static void test_same_bytes(void **state)
{
	struct ticket_pdf_job *a = run(document(2, "Grüße 你好")), *b = run(document(2, "Grüße 你好"));

	assert_whole(a);
	assert_int_equal(a->pdf.n, b->pdf.n);
	assert_memory_equal(a->pdf.p, b->pdf.p, a->pdf.n);
	ticket_pdf_job_free(a);
	ticket_pdf_job_free(b);
}

static void assert_refused(struct ticket_document *d, const char *path)
{
	struct ticket_pdf_job *job = run(d);

	assert_false(job->ok);
	assert_int_equal(job->error.code, ERR_INVALID_VALUE);
	assert_string_equal(job->error.path, path);
	ticket_pdf_job_free(job);
}

static void test_refused(void **state)
{
	struct ticket_document *d = document(1, "x");
	struct error error = {0};
	struct buf small;

	d->timezone = "Europe/Atlantis";
	assert_refused(d, "/timezone");
	d = document(1, "x");
	d->timezone = NULL;
	assert_refused(d, "/timezone");
	d = document(2, "x");
	d->seats[1].code = "BX1.NOT-A-CODE";
	assert_refused(d, "/seats/code");
	d = document(1, "x");
	d->seats[0].code = NULL;
	assert_refused(d, "/seats/code");
	assert_refused(document(0, "x"), "/seats");
	assert_refused(document(TICKET_DOCUMENT_SEATS_MAX + 1, "x"), "/seats");

	d = document(1, "x");
	buf_init(&small, 5000);
	assert_false(ticket_pdf_render(d, &small, &error));
	assert_int_equal(error.code, ERR_INTERNAL);
	buf_done(&small);
	ticket_document_free(d);
}

static void test_many_pages(void **state)
{
	struct ticket_pdf_job *job = run(document(TICKET_DOCUMENT_SEATS_MAX, "Seat"));

	assert_whole(job);
	ticket_pdf_job_free(job);
}

struct worker {
	pthread_t id;
	size_t bytes[8];
	bool ok;
};

static void *worker_run(void *arg)
{
	struct worker *w = arg;

	w->ok = true;
	for (size_t i = 0; i < 40; i++) {
		struct ticket_pdf_job *job = run(document(1, texts[10 + i % 8]));

		w->ok = w->ok && job->ok && (i < 8 || job->pdf.n == w->bytes[i % 8]);
		w->bytes[i % 8] = job->pdf.n;
		ticket_pdf_job_free(job);
	}
	return NULL;
}

/* As the pool of io/offload will: several threads at once, each with its own fonts, all with the same result. */
static void test_threads(void **state)
{
	struct worker w[4] = {0};

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&w[i].id, NULL, worker_run, &w[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(w[i].id, NULL);
	for (int i = 0; i < 4; i++) {
		assert_true(w[i].ok);
		assert_memory_equal(w[i].bytes, w[0].bytes, sizeof(w[0].bytes));
	}
}

/* Fontconfig keeps its patterns by offsets, not pointers, and so do cairo's and pango's caches of them: to a leak checker
 * they look lost. What would grow with every document is test_memory_stays's business. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libfontconfig\nleak:libcairo\n";
}

/* Renders documents that all differ, in three scripts; returns the bytes in use afterwards (0 under a sanitizer). */
static size_t bytes_after(size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		struct ticket_pdf_job *job;
		struct buf b;

		buf_init(&b, 1000);
		buf_addf(&b, "Guest %zu ", i);
		for (size_t k = 0; k < 3; k++) {
			unsigned c = 0x4e00 + (unsigned)((i * 3 + k) * 7919 % 5000);

			buf_addf(&b, "%c%c%c", (int)(0xe0 | c >> 12), (int)(0x80 | (c >> 6 & 0x3f)),
				 (int)(0x80 | (c & 0x3f)));
		}
		buf_adds(&b, " \u05d0\u05d1 \U0001f3ad");
		job = run(document(1, b.p));
		assert_whole(job);
		ticket_pdf_job_free(job);
		buf_done(&b);
	}
	return mallinfo2().uordblks + mallinfo2().hblkhd;
}

static void test_memory_stays(void **state)
{
	size_t before = bytes_after(0, 100), after = bytes_after(100, 300);

	/* caches still fill a little; a surface or a code's image left behind in each would be tens of megabytes */
	if (after > before + (size_t)4 * 1024 * 1024)
		fail_msg("200 documents left %zu KB behind", (after - before) / 1024);
	print_message("memory: %zu KB after 100 documents, %zu KB after 300\n", before / 1024, after / 1024);
}

static int make_code(void **state)
{
	struct ticket_claims claims = {.seat_no = 7};
	uint8_t public_key[32], secret[64];
	struct ticket_signer signer;

	crypto_keypair(public_key, secret);
	signer = ticket_signer_make(secret);
	ticket_code_make(&signer, &claims, code);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_text),     cmocka_unit_test(test_long_text),
		cmocka_unit_test(test_same_bytes),   cmocka_unit_test(test_refused),
		cmocka_unit_test(test_many_pages),   cmocka_unit_test(test_threads),
		cmocka_unit_test(test_memory_stays),
	};

	return crypto_init() ? cmocka_run_group_tests(tests, make_code, NULL) : 1;
}
