/* Inside the staff service: its structure, a change as all its files make one, passwords in the pool. */
#ifndef STAFF_STAFF_INT_H
#define STAFF_STAFF_INT_H

#include "io/offload.h"
#include "staff/staff.h"

enum { STAFF_QUERY_MS = 3000, STAFF_TX_MS = 6000, STAFF_PAGE = 50 };

struct staff_service {
	struct staff_config config;
	struct offload *
		hashers; /* a pool of its own: a crowd of logins must not stand before tickets, nor the other way round */
	struct crypto_key invitation_key, token_key, tries_key;
};

/* What passwords of nobody are compared with: a hash with the parameters of crypto_password_hash, of 32 random bytes that were
 * not kept. */
extern const char staff_decoy_hash[];

/*
 * A change: one statement that says whether it found what it changes, perhaps more, the audit row, COMMIT.
 *
 *   change_start -> found(result) -> more(tx) -> audit row -> commit -> done()
 *                \-> nothing(): rolled back, the call is not answered yet
 *
 * Failures of the database are answered here. Lives in the call's arena.
 */
struct change {
	struct staff_service *s;
	struct web_call *call;
	struct audit_row row;
	void (*found)(struct change *c, const struct pg_result *r); /* may be NULL */
	void (*more)(struct change *c, struct pg_tx *tx);	    /* may be NULL */
	void (*done)(struct change *c);				    /* answers */
	void (*nothing)(struct change *c);			    /* answers */
	struct pg_tx *tx;					    /* owned by change_start */
};
void change_start(struct change *c, const struct pg_stmt *stmt, const struct pg_args *args);

/* The member "email", folded; empty after a fault. */
struct str staff_read_email(struct json_in *in, struct arena *arena);
/* Answers what went wrong with a statement that changes nothing, or was not committed. */
void staff_refuse_pg(struct web_call *call, const struct pg_answer *a);

/* A list: a row written into an object; column 0 is the id, col_time the time it is sorted by, -1 by id alone. */
typedef void row_fn(struct jw *w, const struct pg_result *r, int row, struct arena *arena);
void staff_list_start(struct web_call *call, const struct pg_stmt *stmt, const struct pg_args *args, row_fn *write,
		      int col_time);
/* One by id, of statements that take the organiser, the cursor and the number of rows. */
void staff_list(struct web_call *call, const struct pg_stmt *stmt, row_fn *write);

/* ---- scopes ---- */

void staff_write_scopes(struct jw *w, unsigned scopes);
/* ["events", ...] of a member; 0 when absent (a fault when required and empty or unknown). *ret_there may be NULL. */
unsigned staff_read_scopes(struct json_in *in, const char *name, enum json_need need, bool *ret_there);
void staff_arg_scopes(struct pg_args *args, unsigned scopes);
unsigned staff_get_scopes(const struct pg_result *r, int row, int col, struct arena *arena);
/* Nobody gives what they do not have: false after having answered 403 with the scopes' names. */
bool staff_holds(struct web_call *call, unsigned scopes, const char *path);

/* ---- passwords (staff_hash.c) ---- */

/* One turn in the pool. check: the hash that old is compared with; fresh: hashed anew if that fits, or if check is NULL. */
struct hash_job {
	char check[CRYPTO_PASSWORD_MAX], made[CRYPTO_PASSWORD_MAX];
	char *old, *fresh; /* copies, wiped when done */
	size_t old_n, fresh_n;
	bool has_check, fits, failed;
};
typedef void hash_fn(void *arg, const struct hash_job *job);
/* false after having answered 503: too many are waiting. fn must ask job->failed. */
bool staff_hash_start(struct staff_service *s, struct web_call *call, const char *check, struct str old,
		      struct str fresh, hash_fn *fn, void *arg);
/* Whether a password may be used: false after having answered 422. */
bool staff_password_fits(struct web_call *call, struct str password, struct str email, const char *path);

/* A login from another site's page is refused: true after having answered 403. */
bool staff_from_elsewhere(struct web_call *call);
/* Whether somebody has logged in; false after having answered an API token, which has no login and no password. */
bool staff_is_user(struct web_call *call);

/* A wrong password comes into the log of the user it was tried at (zeros: nobody's; it takes as long). To be called before the
 * answer, which does not wait for it. */
void audit_failed(struct staff_service *s, struct web_call *call, const struct uuid *user, int status);

/* ---- guesses (staff_login.c) ---- */

/* Counts a guess at an account from the call's network; then go(arg), unless there were too many (429). account: the folded
 * address. */
typedef void guess_fn(void *arg);
void staff_guess(struct staff_service *s, struct web_call *call, struct str account, guess_fn *go, void *arg);
/* Forgets the guesses at it from here. */
void staff_guessed_right(struct staff_service *s, struct web_call *call, struct pg_tx *tx, struct str account);

/* ---- handlers ---- */

void staff_login_post(struct web_call *call);
void staff_logout_post(struct web_call *call);
void staff_me_get(struct web_call *call);
void staff_password_post(struct web_call *call);
void staff_invitation_accept(struct web_call *call);
void staff_users_get(struct web_call *call);
void staff_user_get(struct web_call *call);
void staff_user_post(struct web_call *call);
void staff_user_patch(struct web_call *call);
void staff_user_delete(struct web_call *call);
void staff_invitation_post(struct web_call *call);
void staff_tokens_get(struct web_call *call);
void staff_token_post(struct web_call *call);
void staff_token_delete(struct web_call *call);
void audit_get(struct web_call *call);

#endif
