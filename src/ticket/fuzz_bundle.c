/*
 * A bundle as anybody might write it. The first byte says what is given: 'e', the envelope, which nobody has signed and so must be
 * refused; else the text, which is signed here: it is read, or refused with its place.
 */
#include "io/crypto.h"
#include "ticket/bundle.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void read_signed(struct str text)
{
	static struct ticket_signer signer; /* of this process: made once */
	struct ticket_key key = {.status = TICKET_KEY_ACTIVE};
	uint8_t secret[64];
	struct error e = {0};
	struct bundle b;
	struct buf out;
	bool ok;

	if (signer.key_id == 0) {
		crypto_keypair(key.public_key, secret);
		signer = ticket_signer_make(secret);
	}
	memcpy(key.public_key, signer.secret + 32, 32);
	key.key_id = signer.key_id;
	if (!str_utf8_valid(text))
		return;
	buf_init(&out, 1 << 24);
	if (bundle_sign(&signer, text, &out)) {
		ok = bundle_open(buf_str(&out), &key, 1, &b, &e);
		must(ok == (e.code == ERR_NONE));
		for (size_t i = 1; ok && i < b.n_used; i++)
			must(uuid_cmp(&b.used[i - 1].ticket_id, &b.used[i].ticket_id) <= 0);
		for (size_t i = 0; ok && i < b.n_used; i++)
			must(bundle_find_used(&b, &b.used[i].ticket_id) != NULL);
		bundle_done(&b);
	}
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ticket_key key = {.key_id = 0x01020304, .status = TICKET_KEY_ACTIVE, .public_key = {9}};
	struct error e = {0};
	struct bundle b;

	must(crypto_init());
	if (size == 0)
		return 0;
	if (data[0] != 'e') {
		read_signed((struct str){(const char *)data + 1, size - 1});
		return 0;
	}
	must(!bundle_open((struct str){(const char *)data + 1, size - 1}, &key, 1, &b, &e));
	must(e.code != ERR_NONE);
	bundle_done(&b);
	return 0;
}
