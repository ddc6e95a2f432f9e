/* Whatever a device asks: read, or a fault with its place. The first byte says which body it is. */
#include "door/door.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error e = {.code = ERR_NONE};
	struct door_upload_ask upload = {0};
	struct door_ask ask;
	json_t *body;
	bool ok;

	if (size == 0)
		return 0;
	body = json_read((struct str){(const char *)data + 1, size - 1}, 8, &e);
	if (!body)
		return 0;
	ok = data[0] == 'c'   ? door_read_checkin(body, &ask, &e)
	     : data[0] == 'n' ? door_read_undo(body, &ask, &e)
			      : door_read_upload(body, &upload, &e);
	must(ok == (e.code == ERR_NONE));
	must(ok || e.path[0] == '/' || e.path[0] == '\0');
	must(upload.n <= DOOR_SCANS_MAX);
	for (size_t i = 0; ok && i < upload.n; i++) {
		must(upload.scans[i].nonce.n && upload.scans[i].code.n);
		must(door_corrected_us(upload.scans[i].scanned_at_us, upload.sent_at_us, 1800000000000000) <=
		     1800000000000000);
	}
	door_upload_done(&upload);
	json_decref(body);
	return 0;
}
