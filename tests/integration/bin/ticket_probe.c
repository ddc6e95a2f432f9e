/*
 * What the ticket tests in Python drive: the rules and the rendering, without a server.
 *
 *   ticket_probe codes N              {"keys": [...], "codes": [{code, show_id, ticket_id, seat_no, serial}]}, new keys
 *   ticket_probe pdf < document.json  the PDF on standard output
 *   ticket_probe svg CODE             the SVG on standard output
 *   ticket_probe verify ...           boxoffice verify-ticket ...
 *   ticket_probe bench SECONDS THREADS < document.json   documents a second, and memory
 */
#include "base/buf.h"
#include "base/json.h"
#include "base/times.h"
#include "base/xmalloc.h"
#include "io/crypto.h"
#include "ticket/code.h"
#include "ticket/pdf.h"
#include "ticket/qr.h"
#include "ticket/trust.h"
#include "ticket/verify_cmd.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static int out(struct buf *b)
{
	bool ok = !b->failed && fwrite(b->p, 1, b->n, stdout) == b->n && fflush(stdout) == 0;

	buf_done(b);
	return ok ? 0 : 1;
}

static int codes(uint64_t n)
{
	struct ticket_signer signers[2];
	struct buf b;
	struct jw w;

	buf_init(&b, 64 << 20);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_key(&w, "keys");
	jw_arr(&w);
	for (int i = 0; i < 2; i++) {
		struct ticket_key key = {.status = i ? TICKET_KEY_RETIRED : TICKET_KEY_ACTIVE};
		uint8_t secret[64];

		crypto_keypair(key.public_key, secret);
		signers[i] = ticket_signer_make(secret);
		key.key_id = signers[i].key_id;
		ticket_key_write(&w, &key, INT64_C(1764000000) * US_PER_SECOND);
	}
	jw_arr_end(&w);
	jw_key(&w, "codes");
	jw_arr(&w);
	for (uint64_t i = 0; i < n; i++) {
		struct ticket_claims c;
		char text[TICKET_CODE_TEXT];

		crypto_random(&c, sizeof(c));
		ticket_code_make(&signers[i % 2], &c, text);
		jw_obj(&w);
		jw_kcstr(&w, "code", text);
		jw_kuuid(&w, "show_id", &c.show_id);
		jw_kuuid(&w, "ticket_id", &c.ticket_id);
		jw_kint(&w, "seat_no", c.seat_no);
		jw_kint(&w, "serial", c.serial);
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	jw_done(&w);
	return out(&b);
}

static const char *text_of(struct ticket_document *d, const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? arena_strdup(&d->arena, s) : NULL;
}

static struct ticket_document *document_from(const json_t *o)
{
	struct ticket_document *d = ticket_document_new();
	const json_t *seats = json_object_get(o, "seats");
	const struct currency *currency = currency_find(str_from(json_string_value(json_object_get(o, "currency"))));

	d->locale = text_of(d, o, "locale");
	d->event_name = text_of(d, o, "event_name");
	d->organizer_name = text_of(d, o, "organizer_name");
	d->venue_name = text_of(d, o, "venue_name");
	d->venue_address = text_of(d, o, "venue_address");
	d->timezone = text_of(d, o, "timezone");
	d->buyer_name = text_of(d, o, "buyer_name");
	d->reference = text_of(d, o, "reference");
	d->terms = text_of(d, o, "terms");
	time_parse(str_from(json_string_value(json_object_get(o, "starts_at"))), &d->starts_at_us);
	time_parse(str_from(json_string_value(json_object_get(o, "doors_at"))), &d->doors_at_us);
	time_parse(str_from(json_string_value(json_object_get(o, "issued_at"))), &d->issued_at_us);
	d->n_seats = json_array_size(seats);
	d->seats = arena_array(&d->arena, struct ticket_document_seat, d->n_seats);
	for (size_t i = 0; i < d->n_seats; i++) {
		const json_t *s = json_array_get(seats, i), *rgb = json_object_get(s, "rgb"), *price = json_object_get(s, "price");

		d->seats[i] = (struct ticket_document_seat){
			.zone = text_of(d, s, "zone"),
			.row = text_of(d, s, "row"),
			.seat = text_of(d, s, "seat"),
			.category = text_of(d, s, "category"),
			.category_rgb = rgb ? (int32_t)json_integer_value(rgb) : -1,
			.accessible = json_is_true(json_object_get(s, "accessible")),
			.price = {json_integer_value(price), price ? currency : NULL},
			.code = text_of(d, s, "code"),
		};
	}
	return d;
}

static json_t *read_document(void)
{
	struct error error = {0};
	struct buf in;
	char chunk[4096];
	json_t *o;
	size_t n;

	buf_init(&in, 8 << 20);
	while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0)
		buf_add(&in, chunk, n);
	o = json_read(buf_str(&in), JSON_DEPTH_DEFAULT, &error);
	if (!o) {
		fprintf(stderr, "%s\n", error.detail);
		exit(2);
	}
	buf_done(&in);
	return o;
}

static int pdf(void)
{
	json_t *o = read_document();
	struct ticket_pdf_job *job = ticket_pdf_job_new(document_from(o));
	int status;

	ticket_pdf_job_run(job);
	if (!job->ok)
		fprintf(stderr, "%s %s: %s\n", err_info(job->error.code)->code, job->error.path, job->error.detail);
	status = job->ok && fwrite(job->pdf.p, 1, job->pdf.n, stdout) == job->pdf.n ? 0 : 1;
	ticket_pdf_job_free(job);
	json_decref(o);
	return status;
}

static int svg(const char *code)
{
	struct buf b;
	struct qr qr;

	buf_init(&b, 1 << 20);
	if (!qr_encode(str_from(code), &qr) || !qr_svg(&qr, STR("Ticket <1> & \"2\""), &b))
		return 1;
	return out(&b);
}

struct bench {
	const json_t *document;
	double seconds;
	uint64_t done, bytes;
	double slowest_ms, first_ms;
};

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static long resident_kb(void)
{
	long size = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f) {
		if (fscanf(f, "%ld %ld", &size, &resident) != 2)
			resident = 0;
		fclose(f);
	}
	return resident * 4;
}

static double cpu_ms(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

static void *bench_thread(void *arg)
{
	struct bench *b = arg;
	double start = now_s(), t, ms;

	while ((t = now_s()) - start < b->seconds) {
		struct ticket_pdf_job *job = ticket_pdf_job_new(document_from(b->document));

		ticket_pdf_job_run(job);
		if (!job->ok)
			abort();
		b->bytes += job->pdf.n;
		ticket_pdf_job_free(job);
		ms = (now_s() - t) * 1e3;
		if (b->done++ == 0)
			b->first_ms = ms;
		else if (ms > b->slowest_ms)
			b->slowest_ms = ms;
	}
	return NULL;
}

static int bench(double seconds, size_t threads)
{
	json_t *o = read_document();
	struct bench *b = xcalloc(threads, sizeof(*b));
	pthread_t *ids = xcalloc(threads, sizeof(*ids));
	uint64_t done = 0, bytes = 0;

	for (size_t i = 0; i < threads; i++) {
		b[i] = (struct bench){.document = o, .seconds = seconds};
		if (pthread_create(&ids[i], NULL, bench_thread, &b[i]) != 0)
			abort();
	}
	for (size_t i = 0; i < threads; i++) {
		pthread_join(ids[i], NULL);
		done += b[i].done;
		bytes += b[i].bytes;
		printf("thread %zu: %llu documents, first %.1f ms, slowest after it %.1f ms\n", i, (unsigned long long)b[i].done,
		       b[i].first_ms, b[i].slowest_ms);
	}
	printf("%.1f documents a second, %.2f ms of processor time and %llu bytes each, %ld KB resident\n",
	       (double)done / seconds, cpu_ms() / (double)(done ? done : 1), (unsigned long long)(bytes / (done ? done : 1)),
	       resident_kb());
	free(b);
	free(ids);
	json_decref(o);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t n, threads;

	if (!crypto_init() || argc < 2)
		return 2;
	if (strcmp(argv[1], "codes") == 0 && argc == 3 && str_to_u64(str_from(argv[2]), 100000, &n))
		return codes(n);
	if (strcmp(argv[1], "pdf") == 0)
		return pdf();
	if (strcmp(argv[1], "svg") == 0 && argc == 3)
		return svg(argv[2]);
	if (strcmp(argv[1], "verify") == 0)
		return ticket_verify_main(argc - 1, argv + 1);
	if (strcmp(argv[1], "bench") == 0 && argc == 4 && str_to_u64(str_from(argv[2]), 600, &n) &&
	    str_to_u64(str_from(argv[3]), 64, &threads))
		return bench((double)n, (size_t)threads);
	return 2;
}
