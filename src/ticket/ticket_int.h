/* Inside the ticket service: its structure, and what its files call in each other. */
#ifndef TICKET_TICKET_INT_H
#define TICKET_TICKET_INT_H

#include "ticket/code.h"
#include "ticket/ticket_service.h"

enum { TICKET_QUERY_MS = 3000, TICKET_SEALED = 64 + CRYPTO_SEAL_OVERHEAD };

struct ticket_service {
	struct ticket_service_config config;
	struct crypto_key keys_key; /* seals the signing keys */
	bool key_exists;	    /* an active key was seen committed: there is always one from then on */
	struct timer *ensure_again;

	/* GET /v1/tickets/keys as last read */
	struct shared_bytes *keys_body; /* NULL: none */
	char keys_etag[40];
	int64_t keys_read_us;
	int32_t keys_newest; /* the greatest key_id in it */
};

/* The columns that every statement about tickets begins with. */
enum { TICKET_COL_ID, TICKET_COL_SEAT, TICKET_COL_STATE, TICKET_COL_KEY, TICKET_COL_SECRET, TICKET_COLS };

/* ticket_store.c */
void ticket_keys_init(struct ticket_service *t);
void ticket_keys_done(struct ticket_service *t);
/* A fresh key pair: the public key, and the secret one sealed. */
void ticket_key_make(const struct crypto_key *keys_key, uint8_t ret_public[32], uint8_t ret_sealed[TICKET_SEALED]);
/* The code of the ticket in this row; false: it is revoked, or its key cannot be opened with our master key. */
bool ticket_row_code(struct ticket_service *t, const struct uuid *show, const struct pg_result *r, int row,
		     char out[TICKET_CODE_TEXT]);

/* ticket_papers.c: the handlers of one ticket's picture and paper */
void ticket_pdf_get(struct web_call *call);
void ticket_svg_get(struct web_call *call);
void ticket_png_get(struct web_call *call);
void ticket_ics_get(struct web_call *call);

/* ticket_reissue.c */
void ticket_reissue_post(struct web_call *call);

/* ticket_api.c */
/* Whether the asker is the booking's session, holds its link (also as ?access_token=), or is staff of its organiser with
 * the scope for bookings. */
bool ticket_may_see(struct web_call *call, const struct uuid *show, const struct uuid *booking,
		    const struct uuid *session, const struct uuid *organizer);

#endif
