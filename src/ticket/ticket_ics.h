/* A show as an entry for a calendar (RFC 5545), made from a ticket. Pure. */
#ifndef TICKET_TICKET_ICS_H
#define TICKET_TICKET_ICS_H

#include "base/buf.h"
#include "base/ids.h"

struct ticket_ics {
	struct uuid ticket_id;
	int32_t sequence; /* how often the show was put off */
	int64_t now_us, starts_at_us;
	const char *summary, *location, *description; /* UTF-8; lines end in \n */
	const char *timezone;			      /* of the venue; NULL: the time stands in UTC */
	bool cancelled;				      /* it takes place without the holder of this ticket */
};
/* false: the buffer is full. */
bool ticket_ics(const struct ticket_ics *t, struct buf *out);

#endif
