/*
 * Mails handed to one SMTP server (the operator's own, or a provider's) by libcurl, on threads of its own: STARTTLS or TLS from the
 * start, login, connections that are used again. Sending is an object: started, perhaps cancelled; done_cb runs on the loop, exactly
 * once unless it was cancelled, and never before mail_send_start has returned. One recipient each. Nothing blocks but
 * mail_client_free: for a second at most, while threads come to their end. Not before a fork.
 */
#ifndef IO_MAIL_H
#define IO_MAIL_H

#include "base/buf.h"
#include "io/loop.h"

struct mail_client;
struct mail_send;

enum mail_tls {
	MAIL_TLS_REQUIRED,	/* STARTTLS, or the mail is not sent */
	MAIL_TLS_OPPORTUNISTIC, /* STARTTLS if the server offers it */
	MAIL_TLS_OFF,
};

struct mail_client_config {
	struct loop *loop;
	const char *
		url; /* smtp://host[:port][/name said in EHLO], smtps:// for TLS from the start (then tls says nothing) */
	enum mail_tls tls;
	const char *ca_file;	     /* NULL: the system's; else only what is in it. Certificates are always checked */
	const char *user, *password; /* NULL: no login */
	int connections;	     /* at once; mails beyond wait for one */
	int mails_per_connection;    /* then another is opened */
	int64_t connect_timeout_ms;  /* with TLS */
	int64_t timeout_ms;	     /* of one mail, from when it has a connection */
	int64_t idle_ms;	     /* an unused connection is closed after it */
};
struct mail_client *mail_client_new(const struct mail_client_config *config);
void mail_client_free(struct mail_client *c); /* what is under way is dropped without callback */

enum mail_status {
	MAIL_SENT,	  /* the server has it */
	MAIL_LATER,	  /* not now: 4xx, or the connection was lost before the mail was said */
	MAIL_REFUSED,	  /* 5xx about this mail: it would be so again */
	MAIL_UNREACHABLE, /* nothing to do with this mail: no connection, no TLS, no login, or the sender is not taken */
	MAIL_UNKNOWN,	  /* lost while or after the mail was said: the server may have it */
};

struct mail_answer {
	enum mail_status status;
	int smtp_status; /* 0: the server said nothing */
	const char *
		words; /* the server's last, or what went wrong; one line, never NULL. May name the recipient: not for logs as it is */
	int64_t took_us;
};
typedef void mail_fn(void *arg, const struct mail_answer *answer);

/* from, to: addresses as mail_address has them (io/mail_message.h); utf8: the recipient needs SMTPUTF8. message_take: malloc'ed. fn may
 * start and cancel sends, not free the client; the handle ends when it begins. */
struct mail_send *mail_send_start(struct mail_client *c, const char *from, const char *to, bool utf8,
				  char *message_take, size_t message_n, mail_fn *fn, void *arg);
/* fn will not run. What was said was said: the server may have it. */
void mail_send_cancel(struct mail_send *s);

#endif
