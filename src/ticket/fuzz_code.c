/* What parses, parses to one thing: encoding the same bytes again gives the very text; and nothing made up verifies. */
#include "io/crypto.h"
#include "ticket/code.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const uint8_t *bytes, size_t n_bits, char *out)
{
	for (size_t i = 0; i < n_bits; i += 5) {
		unsigned v = 0;

		for (size_t bit = i; bit < i + 5; bit++)
			v = v << 1 | (bit < n_bits ? bytes[bit / 8] >> (7 - bit % 8) & 1U : 0);
		*out++ = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[v];
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[TICKET_PAYLOAD + 64], secret[64];
	char again[TICKET_CODE_TEXT] = "BX1.";
	struct ticket_trust trust = {0};
	struct ticket_key key = {0};
	struct ticket_code code;

	if (!crypto_init())
		abort();
	if (!ticket_code_parse((struct str){(const char *)data, size}, &code))
		return 0;
	memcpy(bytes, code.payload, TICKET_PAYLOAD);
	memcpy(bytes + TICKET_PAYLOAD, code.signature, 64);
	encode(bytes, sizeof(bytes) * 8, again + 4);
	if (size != TICKET_CODE_LENGTH || memcmp(again, data, size) != 0)
		abort();
	/* a key made now: no input can have been signed with it */
	crypto_keypair(key.public_key, secret);
	key.key_id = code.key_id;
	trust.keys = &key;
	trust.n_keys = 1;
	if (ticket_code_verify((struct str){(const char *)data, size}, &trust, NULL) == TICKET_OK)
		abort();
	return 0;
}
