/*
 * Owns what settings of mails are allowed together. A password never goes out in the clear, a mail never without a link that works.
 * Called by work_main.c.
 */
#include "app/mail_setup.h"

#include "base/times.h"
#include "io/log.h"
#include "notify/notify_sender.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PASSWORD_MAX = 1000 };

static bool say(const char *what)
{
	fprintf(stderr, "boxoffice: %s\n", what);
	return false;
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* smtp://127.0.0.1:25/..., ://[::1], ://localhost */
static bool on_this_machine(const char *url)
{
	static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]"};
	const char *host = strstr(url, "://");

	for (size_t i = 0; host && i < sizeof(hosts) / sizeof(hosts[0]); i++)
		if (begins(host + 3, hosts[i]) && strchr(":/", host[3 + strlen(hosts[i])]))
			return true;
	return false;
}

static bool url_is_good(const char *url)
{
	const char *rest = begins(url, "smtp://") ? url + 7 : begins(url, "smtps://") ? url + 8 : NULL;

	if (!rest || !*rest || *rest == '/' || *rest == ':')
		return say("smtp-url is smtp://host[:port] or smtps://host[:port]");
	for (const char *p = url; *p; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7F || *p == '@')
			return say("smtp-url has a character that no such address has (name and password are smtp-user "
				   "and "
				   "smtp-password-file)");
	return true;
}

static bool password_read(const char *path, char out[PASSWORD_MAX])
{
	FILE *f = fopen(path, "re");
	bool ok;

	if (!f) {
		fprintf(stderr, "boxoffice: cannot read smtp-password-file %s: %s\n", path, strerror(errno));
		return false;
	}
	ok = fgets(out, PASSWORD_MAX, f) != NULL;
	fclose(f);
	out[ok ? strcspn(out, "\r\n") : 0] = '\0';
	return *out || say("smtp-password-file is empty");
}

static bool tls_read(const char *text, enum mail_tls *ret)
{
	static const char *const names[] = {"required", "opportunistic", "off"};

	for (int i = 0; i < 3; i++)
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum mail_tls)i;
			return true;
		}
	return say("smtp-tls is required, opportunistic or off");
}

static bool settings_fit(const struct config *c, enum mail_tls tls)
{
	if (c->smtp_url[0] && c->mail_dir[0])
		return say("smtp-url sends mails, mail-dir writes them to files: give one of them");
	if (!c->smtp_url[0] && !c->mail_dir[0])
		return true;
	if (!c->public_url[0])
		return say("mails have links: with smtp-url or mail-dir, public-url must say where this service is "
			   "reached");
	if (!begins(c->public_url, "http://") && !begins(c->public_url, "https://"))
		return say("public-url is no http:// or https:// address, and mails have links");
	if (c->smtp_url[0] && !url_is_good(c->smtp_url))
		return false;
	if (!!c->smtp_user[0] != !!c->smtp_password_file[0])
		return say("smtp-user and smtp-password-file belong together");
	if (c->smtp_user[0] && tls != MAIL_TLS_REQUIRED && !begins(c->smtp_url, "smtps://") &&
	    !on_this_machine(c->smtp_url))
		return say("smtp-user needs smtp-tls = required or an smtps:// address: the password would go out "
			   "readable");
	if (c->smtp_url[0] && strstr(c->mail_from, "@localhost"))
		return say("with smtp-url, mail-from must say who mails come from");
	return true;
}

struct notify_sender *mail_setup(struct app *app, const struct config *c)
{
	char password[PASSWORD_MAX] = "", error[600];
	struct notify_sender *sender;
	enum mail_tls tls;

	if (!tls_read(c->smtp_tls, &tls) || !settings_fit(c, tls))
		return NULL;
	if (c->smtp_user[0] && !password_read(c->smtp_password_file, password))
		return NULL;
	struct notify_sender_config config = {
		.loop = app->loop,
		.pg = app->pg,
		.offload = app->offload,
		.auth = app->auth,
		.event = app->event,
		.ticket = app->ticket,
		.metrics = app->metrics,
		.smtp = {.url = c->smtp_url,
			 .tls = tls,
			 .ca_file = c->smtp_ca_file[0] ? c->smtp_ca_file : NULL,
			 .user = c->smtp_user[0] ? c->smtp_user : NULL,
			 .password = c->smtp_user[0] ? password : NULL,
			 .connections = (int)c->smtp_connections,
			 .mails_per_connection = (int)c->smtp_mails_per_connection,
			 .connect_timeout_ms = c->smtp_timeout_ms < 15000 ? c->smtp_timeout_ms : 15000,
			 .timeout_ms = c->smtp_timeout_ms,
			 .idle_ms = 10000},
		.folder = c->mail_dir,
		.from = c->mail_from,
		.public_url = c->public_url,
		.per_second = c->mail_rate,
		.per_recipient = c->mail_per_recipient,
		.give_up_us = c->mail_give_up_hours * US_PER_HOUR,
	};

	sender = notify_sender_new(&config, error, sizeof(error));
	explicit_bzero(password, sizeof(password));
	if (!sender)
		fprintf(stderr, "boxoffice: %s\n", error);
	else if (!c->smtp_url[0] && !c->mail_dir[0])
		log_line(LOG_WARN, "no smtp-url: mails wait, and are dropped when they are too late");
	else if (c->mail_dir[0])
		log_line(LOG_INFO, "mails are written to files", LOG_C("folder", c->mail_dir));
	return sender;
}
