/* Owns the turns in the pool that hashes passwords: argon2id is slow by intent, and the loop must not wait for it. */
#include "staff/staff_int.h"

#include "base/xmalloc.h"
#include "staff/staff_rules.h"

#include <stdlib.h>
#include <string.h>

const char staff_decoy_hash[] = "$argon2id$v=19$m=65536,t=2,p=1$wmJT9B20MFVGVHyJwoN20A$"
				"UfHoV430PIK9JxtC2NgWJ4/cgsb9lVno0rhAXZ7axiM";

struct turn {
	struct hash_job job;
	hash_fn *fn;
	void *arg;
};

static void work(void *data)
{
	struct turn *t = data;
	struct hash_job *j = &t->job;

	if (j->has_check)
		j->fits = crypto_password_check(j->check, (struct str){j->old, j->old_n});
	if (j->fresh_n && (!j->has_check || j->fits))
		j->failed = !crypto_password_hash((struct str){j->fresh, j->fresh_n}, j->made);
}

static void wipe(char *p, size_t n)
{
	explicit_bzero(p, n);
	free(p);
}

static void drop(void *data)
{
	struct turn *t = data;

	wipe(t->job.old, t->job.old_n);
	wipe(t->job.fresh, t->job.fresh_n);
	free(t);
}

static void on_worked(void *arg, void *data)
{
	struct turn *t = data;

	t->fn(t->arg, &t->job);
}

static char *copy(struct str s)
{
	char *p = xcalloc(1, s.n + 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	return p;
}

bool staff_hash_start(struct staff_service *s, struct web_call *call, const char *check, struct str old,
		      struct str fresh, hash_fn *fn, void *arg)
{
	struct turn *t = xcalloc(1, sizeof(*t));

	t->fn = fn;
	t->arg = arg;
	t->job.has_check = check != NULL;
	if (check)
		memcpy(t->job.check, check, strnlen(check, CRYPTO_PASSWORD_MAX - 1));
	t->job.old = copy(old);
	t->job.old_n = old.n;
	t->job.fresh = copy(fresh);
	t->job.fresh_n = fresh.n;
	if (offload_start(s->hashers, work, t, drop, on_worked, NULL))
		return true;
	drop(t);
	web_refuse(call, ERR_OVERLOADED, NULL);
	return false;
}

bool staff_password_fits(struct web_call *call, struct str password, struct str email, const char *path)
{
	const char *fault = password_fault(password, email);
	struct error e = {0};

	if (!fault)
		return true;
	error_set(&e, ERR_INVALID_VALUE, path, "%s", fault);
	web_refuse_error(call, &e);
	return false;
}
