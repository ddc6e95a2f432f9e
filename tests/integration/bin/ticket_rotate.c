/* ticket_rotate URL MASTER: the rotation of the signing key as an administrator's command does it; MASTER is 64 hexadecimal
 * digits. */
#include "ticket/ticket_admin.h"

#include <stdio.h>

int main(int argc, char **argv)
{
	struct crypto_key master;

	if (argc != 3 || !crypto_init() || !hex_decode(str_from(argv[2]), master.b, sizeof(master.b))) {
		fprintf(stderr, "usage: ticket_rotate URL MASTER\n");
		return 2;
	}
	return ticket_key_rotate(argv[1], &master);
}
