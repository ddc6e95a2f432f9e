/*
 * `boxoffice admin user`: the first user of an organiser, and who is locked out of everything else. A password is never typed
 * here, where it would stay in the shell's history: what is printed is the one-time token of an invitation.
 */
#include "app/admin_int.h"
#include "app/admin_sql.h"
#include "app/app.h"
#include "app/migrate.h"
#include "seat/seat.h"

#include <stdio.h>
#include <string.h>

/* The address folded; false after a sentence. */
static bool email_read(const struct asked *a, char out[EMAIL_FOLDED_MAX])
{
	const char *email = a->options[OPT_EMAIL].value;

	if (email && str_utf8_valid(str_from(email)) && email_plausible(str_from(email))) {
		email_fold(str_from(email), out);
		return true;
	}
	fprintf(stderr, "boxoffice: --email takes a mail address\n");
	return false;
}

/* A new invitation and what is stored of it. */
static void invitation_new(struct uuid *ret_id, char token[AUTH_TOKEN_TEXT], char hash[2 * CRYPTO_HASH + 1])
{
	uint8_t digest[CRYPTO_HASH];

	*ret_id = crypto_uuid_v7(wall_now_us());
	auth_secret_token("bi_", ret_id, NULL, token, digest);
	hex_encode(digest, sizeof(digest), hash);
}

static int invitation_show(const char *token)
{
	printf("%s\n", token);
	fprintf(stderr, "boxoffice: this sets the password, once, within a week: "
			"POST /v1/staff/invitations/accept {\"token\", \"password\"}\n");
	return 0;
}

/* 1 row: done; else the sentence. */
static int changed(PGresult *r, const char *email, const char *otherwise)
{
	int rows;

	if (!r)
		return 1;
	rows = PQntuples(r);
	PQclear(r);
	if (rows != 1)
		fprintf(stderr, "boxoffice: %s: %s\n", email, otherwise);
	return rows == 1 ? 0 : 1;
}

int admin_user_add(const struct asked *a)
{
	const char *organizer = a->options[OPT_ORGANIZER].value, *scopes = a->options[OPT_SCOPES].value;
	char email[EMAIL_FOLDED_MAX], array[200], id[UUID_TEXT], token[AUTH_TOKEN_TEXT], hash[2 * CRYPTO_HASH + 1];
	const char *params[] = {id, organizer, email, array, hash};
	struct uuid uuid;
	int status;

	if (!organizer || !scopes || !*scopes) {
		fprintf(stderr, "boxoffice: admin user add needs --organizer, --email and --scopes\n");
		return 2;
	}
	if (!email_read(a, email) || !admin_scopes_read(scopes, array, sizeof(array)))
		return 2;
	invitation_new(&uuid, token, hash);
	uuid_format(&uuid, id);
	status = changed(pg_sync_ask(a->pg, "user add", admin_sql_user_add.sql, 5, params), email,
			 "there is somebody with this address already, or no such organiser");
	return status ? status : invitation_show(token);
}

static int user_change(const struct asked *a, const char *hash, const char *action)
{
	char email[EMAIL_FOLDED_MAX];
	const char *params[] = {email, hash, action};

	if (!email_read(a, email))
		return 2;
	return changed(pg_sync_ask(a->pg, action, admin_sql_user_change.sql, 3, params), email,
		       "nobody of the staff has this address");
}

int admin_user_passwd(const struct asked *a)
{
	char token[AUTH_TOKEN_TEXT], hash[2 * CRYPTO_HASH + 1];
	struct uuid id;
	int status;

	invitation_new(&id, token, hash);
	status = user_change(a, hash, "admin user passwd");
	return status ? status : invitation_show(token);
}

int admin_user_disable(const struct asked *a)
{
	return user_change(a, "", "admin user disable");
}

int admin_user_list(const struct asked *a)
{
	return admin_list(a, "user list", admin_sql_user_list.sql);
}
