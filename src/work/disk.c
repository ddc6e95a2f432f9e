/*
 * Owns the watch over PostgreSQL's disk on the machine where that is: `work` there looks every second and tells all workers of serve
 * by a row (disk_reports), because they may be anywhere. They stop what would fill it further and let payments go on
 * (app/serve_worker.c); they also notice by themselves when PostgreSQL refuses for want of room.
 *
 *   OK --less than free_min_mb--> LOW --a quarter more than that--> OK       (told at every change, and every five seconds)
 *
 * Looking may block for as long as the file system does: give folders of local disks.
 */
#include "work/work.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "io/log.h"
#include "work/work_sql.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

enum { LOOK_MS = 1000, QUERY_MS = 5000 };
#define TELL_US (5 * US_PER_SECOND)
#define BYTES_PER_MB (INT64_C(1024) * 1024)

struct disk_watch {
	struct disk_watch_config config;
	struct timer *timer;
	bool low, told_low;
	bool blind;	 /* a folder cannot be looked at; it was said */
	int64_t told_us; /* 0: never */
	struct pg_query *telling;
	bool telling_low;
};

/* The least of all folders; false with the folder that cannot be looked at. */
static bool least_free(const char *paths, int64_t *ret_bytes, char *ret_path, size_t path_size)
{
	struct str rest = str_from(paths), part;
	struct statvfs fs;

	*ret_bytes = INT64_MAX;
	while (rest.n) {
		rest = str_split(rest, ':', &part);
		if (!part.n)
			continue;
		snprintf(ret_path, path_size, "%.*s", STR_FMT(part));
		if (statvfs(ret_path, &fs) != 0)
			return false;
		/* what is kept back for root does not help PostgreSQL */
		int64_t bytes = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;

		if (bytes < *ret_bytes)
			*ret_bytes = bytes;
	}
	return true;
}

static void on_told(void *arg, const struct pg_answer *a)
{
	struct disk_watch *d = arg;

	d->telling = NULL;
	if (a->status != PG_OK)
		return; /* again with the next look */
	d->told_low = d->telling_low;
	d->told_us = loop_now_us(d->config.loop);
}

static void tell(struct disk_watch *d, int64_t free_bytes)
{
	struct arena arena;
	struct pg_args args;

	arena_init(&arena);
	pg_args_init(&args, &arena);
	pg_arg_text(&args, str_from(d->config.place));
	pg_arg_bool(&args, d->low);
	pg_arg_i64(&args, free_bytes / BYTES_PER_MB);
	d->telling_low = d->low;
	d->telling = pg_query_start(d->config.pg, &work_sql_disk_report, &args, QUERY_MS, on_told, d);
	arena_done(&arena);
}

static void on_look(void *arg)
{
	struct disk_watch *d = arg;
	int64_t min = d->config.free_min_mb * BYTES_PER_MB, bytes;
	char path[PATH_MAX];

	timer_set_ms(d->timer, LOOK_MS);
	if (!least_free(d->config.paths, &bytes, path, sizeof(path))) {
		/* a folder that is gone: the row grows old, and nobody believes it */
		if (!d->blind)
			log_line(LOG_WARN, "a folder of disk-paths cannot be looked at: nobody watches over the disk",
				 LOG_C("folder", path), LOG_C("error", strerror(errno)));
		d->blind = true;
		return;
	}
	if (d->blind)
		log_line(LOG_INFO, "the folders of disk-paths can be looked at again");
	d->blind = false;
	metric_set(d->config.metrics, METRIC_DISK_FREE, 0, 0, bytes);
	if (d->low ? bytes >= min + min / 4 : bytes < min) {
		d->low = !d->low;
		log_line(d->low ? LOG_WARN : LOG_INFO,
			 d->low ? "the disk of PostgreSQL is nearly full" : "the disk of PostgreSQL has room again",
			 LOG_I("free_mb", bytes / BYTES_PER_MB), LOG_I("wanted_mb", d->config.free_min_mb));
	}
	if (!d->telling &&
	    (!d->told_us || d->low != d->told_low || loop_now_us(d->config.loop) - d->told_us >= TELL_US))
		tell(d, bytes);
}

struct disk_watch *disk_watch_new(const struct disk_watch_config *config, char *ret_error, size_t error_size)
{
	struct disk_watch *d;
	char path[PATH_MAX];
	int64_t bytes;

	if (!least_free(config->paths, &bytes, path, sizeof(path))) {
		snprintf(ret_error, error_size, "disk-paths: %.200s: %s", path, strerror(errno));
		return NULL;
	}
	if (bytes == INT64_MAX) {
		snprintf(ret_error, error_size, "disk-paths: \"%.200s\" names no folder", config->paths);
		return NULL;
	}
	d = xcalloc(1, sizeof(*d));
	d->config = *config;
	d->timer = timer_new(config->loop, on_look, d);
	timer_set_ms(d->timer, 0);
	return d;
}

void disk_watch_free(struct disk_watch *d)
{
	if (!d)
		return;
	timer_free(d->timer);
	free(d);
}
