/*
 * What a process of serve or work is made of, and who is given what. One struct app per process, made after the fork.
 */
#ifndef APP_APP_H
#define APP_APP_H

#include "app/config.h"
#include "auth/auth.h"
#include "event/event.h"
#include "io/http_client.h"
#include "io/metrics_table.h"
#include "io/offload.h"
#include "io/pg.h"
#include "io/redis.h"
#include "seat/seat_service.h"

struct booking_service;
struct hooks;
struct payment_service;
struct staff_service;
struct show_jobs;
struct ticket_service;
struct door_service;

struct app {
	const struct config *config;
	struct loop *loop;
	struct metrics *metrics;
	struct crypto_key master;
	struct pg *pg;
	struct redis *redis;
	struct offload *offload;
	struct http_client *http;
	struct http_streams *streams;
	struct auth *auth;
	struct staff_service *staff;
	struct event_service *event;
	struct seat_map *map;
	struct seat_service *seat;
	struct ticket_service *ticket;
	struct door_service *door;
	struct payment_service *payment;
	struct booking_service *booking;
	struct show_jobs *jobs;
	struct hooks *hooks;
	int64_t schema_wanted;
};

/* application: for PostgreSQL's list of sessions. Returns false after printing a sentence to standard error. */
bool app_init(struct app *app, const struct config *config, struct metrics *metrics, const char *application);
void app_done(struct app *app);

/* GET /healthz of serve and of work: the loop turns. */
web_handler app_health_get;
/* Answers GET /metrics. */
void app_metrics_answer(const struct app *app, struct web_call *call);

/* The newest migration this program carries. */
int64_t migrate_wanted(void);

/* Reads 64 hexadecimal digits; a sentence on standard error when it cannot. */
bool master_key_read(const char *path, struct crypto_key *ret);

/* The subcommands. */
int serve_main(int argc, char **argv);
int work_main(int argc, char **argv);
int migrate_main(int argc, char **argv);
int up_main(int argc, char **argv);
int check_main(int argc, char **argv);
int admin_main(int argc, char **argv);
int import_plan_main(int argc, char **argv);
int routes_main(int argc, char **argv);

#endif
