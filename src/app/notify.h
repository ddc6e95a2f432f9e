/* What systemd is told (sd_notify(3)) and gives (sd_listen_fds(3)), in the few lines that takes; without systemd nothing. */
#ifndef APP_NOTIFY_H
#define APP_NOTIFY_H

#include <stdint.h>

/* "READY=1", "STOPPING=1", "STATUS=..." to who started us. */
void notify(const char *state);
/* With the time that Type=notify-reload asks for; READY=1 ends it. */
void notify_reloading(void);

/* A listening socket that was opened for us, not blocking and closed in programs we start; -1: none. */
int inherited_listener(uint16_t *ret_port);

#endif
