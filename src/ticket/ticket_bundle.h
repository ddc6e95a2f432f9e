/* All tickets of one holder in one paper: what a mail attaches. Called by src/notify. */
#ifndef TICKET_TICKET_BUNDLE_H
#define TICKET_TICKET_BUNDLE_H

#include "ticket/pdf.h"
#include "ticket/ticket_service.h"

/* fn gets the rows of tickets_of_holder.sql: the tickets that are still to be used, by seat; transfer zeros: those of the booking's
 * own buyer. */
void tickets_of_holder_read(struct ticket_service *t, struct arena *a, const struct uuid *show,
			    const struct uuid *booking, const struct uuid *transfer, pg_fn *fn, void *arg);

struct ticket_bundle {
	const char *reference, *holder, *locale, *organizer;
};
/* From such rows, of which there must be at least one; everything is copied. NULL: a key cannot be opened. The caller owns it. */
struct ticket_document *ticket_bundle_document(struct ticket_service *t, const struct show *show,
					       const struct pg_result *r, const struct ticket_bundle *b);
/* "Street 1\nCity, Country" */
const char *ticket_address_of(struct arena *a, const struct show *show);

#endif
