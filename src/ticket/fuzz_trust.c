/* Lists of keys and of revoked tickets as anybody might serve them. The first byte chooses the list. */
#include "io/crypto.h"
#include "ticket/trust.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ticket_trust_lists l;
	struct error error = {0};
	struct str text;
	bool ok;

	if (!crypto_init())
		abort();
	if (size == 0)
		return 0;
	text = (struct str){(const char *)data + 1, size - 1};
	ticket_trust_lists_init(&l);
	ok = data[0] == 'k' ? ticket_trust_read_keys(&l, text, &error) : ticket_trust_read_revoked(&l, text, &error);
	if (ok != (error.code == ERR_NONE))
		abort();
	for (size_t i = 1; ok && i < l.n_revoked; i++)
		if (ticket_revoked_cmp(&l.revoked[i - 1], &l.revoked[i]) > 0)
			abort();
	ticket_trust_lists_done(&l);
	return 0;
}
