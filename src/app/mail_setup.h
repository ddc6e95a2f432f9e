/* The settings of mails become a sender. */
#ifndef APP_MAIL_SETUP_H
#define APP_MAIL_SETUP_H

#include "app/app.h"

struct notify_sender;

/* NULL after a sentence on standard error. Without smtp-url and mail-dir: a sender that only drops what is too late. Blocks (reads a
 * file). */
struct notify_sender *mail_setup(struct app *app, const struct config *config);

#endif
