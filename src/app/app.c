/* Owns the order in which a process's parts are made and taken apart; and what every process says of itself. */
#include "app/app.h"

#include "app/app_sql.h"
#include "base/times.h"

#include "booking/booking_service.h"
#include "door/door_service.h"
#include "hooks/hooks.h"
#include "io/http_stream.h"
#include "jobs/jobs.h"
#include "notify/notices_locks.h"
#include "notify/notify_sender.h"
#include "payment/payment_service.h"
#include "relay/relay.h"
#include "staff/staff.h"
#include "ticket/ticket_service.h"
#include "work/work.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool master_key_read(const char *path, struct crypto_key *ret)
{
	FILE *f = fopen(path, "re");
	char text[80];
	size_t n;

	if (!f) {
		fprintf(stderr, "boxoffice: cannot read the secret file %s: %s\n", path, strerror(errno));
		return false;
	}
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	while (n && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' '))
		n--;
	if (!hex_decode((struct str){text, n}, ret->b, sizeof(ret->b))) {
		fprintf(stderr, "boxoffice: the secret file %s must hold 64 hexadecimal digits and nothing else\n",
			path);
		return false;
	}
	return true;
}

/* Every list of statements; a connection prepares them all. */
static const struct pg_stmt *const *const *statement_lists(void)
{
	static const struct pg_stmt *const *lists[32];
	size_t n = 0;

	lists[n++] = app_sql_statements;
	lists[n++] = consume_sql;
	lists[n++] = auth_sql;
	lists[n++] = staff_sql;
	lists[n++] = event_sql;
	lists[n++] = seat_sql;
	lists[n++] = ticket_sql;
	lists[n++] = payment_sql;
	lists[n++] = booking_sql;
	lists[n++] = jobs_sql;
	lists[n++] = notify_sql;
	lists[n++] = hooks_sql;
	lists[n++] = door_sql;
	lists[n++] = work_sql;
	lists[n++] = notices_sql;
	lists[n++] = relay_sql;
	lists[n] = NULL;
	return lists;
}

static void on_pg_state(void *arg, bool ready)
{
	struct app *app = arg;

	metric_set(app->metrics, METRIC_UP, 0, 0, ready);
}

static void on_redis_state(void *arg, bool ready)
{
	struct app *app = arg;

	metric_set(app->metrics, METRIC_UP, 1, 0, ready);
}

enum { STREAM_RETRY_MS = 2000 };

bool app_init(struct app *app, const struct config *config, struct metrics *metrics, const char *application)
{
	char error[256];

	memset(app, 0, sizeof(*app));
	app->config = config;
	app->metrics = metrics;
	app->schema_wanted = migrate_wanted();
	if (!crypto_init()) {
		fprintf(stderr, "boxoffice: the system gives no random numbers\n");
		return false;
	}
	if (!master_key_read(config->secret_file, &app->master))
		return false;
	json_setup();
	app->loop = loop_new();
	struct redis_config redis = {.url = config->redis_url,
				     .connect_timeout_ms = 2000,
				     .command_timeout_ms = config->redis_timeout_ms,
				     .on_state = on_redis_state,
				     .arg = app};

	app->redis = redis_new(app->loop, &redis, error, sizeof(error));
	if (!app->redis) {
		fprintf(stderr, "boxoffice: redis-url: %s\n", error);
		return false;
	}
	struct pg_config pg = {.url = config->database_url,
			       .application = application,
			       .shared = (int)config->pg_shared,
			       .exclusive = (int)config->pg_exclusive,
			       .connect_timeout_ms = 5000,
			       .statement_timeout_ms = config->statement_timeout_ms,
			       .lock_timeout_ms = config->lock_timeout_ms,
			       .statements = statement_lists(),
			       .on_state = on_pg_state,
			       .arg = app};

	app->pg = pg_new(app->loop, &pg);
	app->offload = offload_new(app->loop, (int)config->offload_threads, (size_t)config->offload_queue);
	app->http = http_client_new(app->loop, 64, config->payment_ca_file[0] ? config->payment_ca_file : NULL);
	struct http_streams_config streams = {.loop = app->loop,
					      .metrics = metrics,
					      .streams_max = (size_t)config->streams_max,
					      .per_session_max = (size_t)config->streams_per_session,
					      .per_network_max = (size_t)config->connections_per_network,
					      .queue_max = (size_t)config->stream_queue_bytes,
					      .heartbeat_ms = config->stream_heartbeat_ms,
					      .retry_ms = STREAM_RETRY_MS};

	app->streams = http_streams_new(&streams);
	struct auth_config auth = {.master = app->master,
				   .pg = app->pg,
				   .session_lifetime_us = config->session_days * US_PER_DAY,
				   .staff_idle_us = config->staff_idle_seconds * US_PER_SECOND,
				   .now_us = wall_now_us};

	app->auth = auth_new(&auth);
	struct staff_config staff = {.loop = app->loop,
				     .pg = app->pg,
				     .auth = app->auth,
				     .login_lifetime_us = config->staff_login_seconds * US_PER_SECOND};

	app->staff = staff_service_new(&staff);
	struct event_config event = {.loop = app->loop,
				     .pg = app->pg,
				     .offload = app->offload,
				     .auth = app->auth,
				     .plan_limits = plan_limits_default};

	event.plan_limits.seats_max = (uint32_t)config->plan_seats_max;
	event.seats_per_lock = (uint32_t)config->seats_per_lock;
	event.recommended_us = config->recommended_seconds * US_PER_SECOND;
	app->event = event_service_new(&event);
	struct seat_map_config map = {.loop = app->loop,
				      .redis = app->redis,
				      .pg = app->pg,
				      .pending_ms = 10000,
				      .stream_max = 1000,
				      .lock_ms = config->lock_seconds * 1000,
				      .by_show = config->distributed_by_show == 1};

	app->map = seat_map_new(&map);
	struct seat_service_config seat = {.loop = app->loop,
					   .pg = app->pg,
					   .event = app->event,
					   .auth = app->auth,
					   .offload = app->offload,
					   .metrics = metrics,
					   .map = app->map,
					   .streams = app->streams,
					   .seats_per_lock = (uint32_t)config->seats_per_lock,
					   .locks_per_session = (uint32_t)config->locks_per_session,
					   .queue_max = (uint32_t)config->lock_queue,
					   .wait_max_us = config->lock_wait_ms * 1000,
					   .by_show = config->distributed_by_show == 1,
					   .lock_lifetime_us = config->lock_seconds * US_PER_SECOND};

	app->seat = seat_service_new(&seat);
	event_set_free_source(app->event, seat_free_count, app->seat);
	event_set_moved_hook(app->event, seat_show_moved, app->seat);
	struct ticket_service_config ticket = {
		.loop = app->loop, .pg = app->pg, .offload = app->offload, .auth = app->auth, .event = app->event};

	app->ticket = ticket_service_new(&ticket);
	struct door_config door = {.loop = app->loop,
				   .pg = app->pg,
				   .offload = app->offload,
				   .auth = app->auth,
				   .event = app->event,
				   .metrics = metrics,
				   .before_us = config->checkin_before_minutes * US_PER_MINUTE,
				   .after_us = config->checkin_after_minutes * US_PER_MINUTE};

	app->door = door_service_new(&door);
	struct payment_service_config payment = {.loop = app->loop,
						 .pg = app->pg,
						 .http = app->http,
						 .metrics = metrics,
						 .map = app->map,
						 .ticket = app->ticket,
						 .event = app->event,
						 .url = config->payment_url,
						 .key_file = config->payment_key_file,
						 .webhook_secret_file = config->payment_webhook_secret_file,
						 .auth = app->auth,
						 .timeout_ms = config->payment_timeout_ms,
						 .read_timeout_ms = config->payment_read_timeout_ms,
						 .connect_timeout_ms = config->payment_connect_timeout_ms};

	app->payment = payment_service_new(&payment, error, sizeof(error));
	if (!app->payment) {
		fprintf(stderr, "boxoffice: %s\n", error);
		return false;
	}
	struct booking_service_config booking = {.loop = app->loop,
						 .pg = app->pg,
						 .auth = app->auth,
						 .event = app->event,
						 .map = app->map,
						 .payment = app->payment,
						 .ticket = app->ticket,
						 .metrics = metrics,
						 .return_urls = config->return_urls,
						 .public_url = config->public_url};

	app->booking = booking_service_new(&booking);
	struct show_jobs_config jobs = {.pg = app->pg,
					.auth = app->auth,
					.event = app->event,
					.map = app->map,
					.booking = app->booking,
					.metrics = metrics};
	app->jobs = show_jobs_new(&jobs);
	struct hooks_config hooks = {.loop = app->loop,
				     .pg = app->pg,
				     .auth = app->auth,
				     .metrics = metrics,
				     .per_organizer = config->webhooks_per_organizer,
				     .queue_max = config->webhook_queue,
				     .concurrency = config->webhook_concurrency,
				     .timeout_ms = config->webhook_timeout_ms,
				     .suspend_seconds = config->webhook_suspend_seconds,
				     .days = config->webhook_days,
				     .retry_seconds = config->webhook_retry_seconds,
				     .allow_networks = config->webhooks_allow_networks,
				     .ca_file = config->webhook_ca_file,
				     .allow_http = config->webhooks_allow_http == 1};

	app->hooks = hooks_new(&hooks, error, sizeof(error));
	if (!app->hooks) {
		fprintf(stderr, "boxoffice: %s\n", error);
		return false;
	}
	return true;
}

void app_done(struct app *app)
{
	/* the connections first: they drop the callbacks that point into the services */
	http_streams_free(app->streams);
	http_client_free(app->http);
	redis_free(app->redis);
	offload_free(app->offload);
	staff_service_free(app->staff);
	seat_service_free(app->seat); /* its lane belongs to pg */
	pg_free(app->pg);
	hooks_free(app->hooks);
	show_jobs_free(app->jobs);
	booking_service_free(app->booking);
	payment_service_free(app->payment);
	door_service_free(app->door);
	ticket_service_free(app->ticket);
	seat_map_free(app->map);
	event_service_free(app->event);
	auth_free(app->auth);
	loop_free(app->loop);
}

void app_health_get(struct web_call *call)
{
	jw_kcstr(web_json(call), "status", "alive");
	web_json_end(call, 200);
}

void app_metrics_answer(const struct app *app, struct web_call *call)
{
	struct http_header headers[] = {{STR("Content-Type"), STR("text/plain; version=0.0.4; charset=utf-8")}};

	buf_reset(&call->out);
	if (metrics_render(app->metrics, &call->out))
		web_bytes(call, 200, headers, 1, buf_str(&call->out));
	else
		web_refuse(call, ERR_INTERNAL, NULL);
}
