#include "work/work.h"
#include "base/xmalloc.h"
#include "io/crypto.h"
#include <stdlib.h>
#include <unistd.h>
static const struct pg_stmt *const none[] = {NULL};
const struct pg_stmt *const *const work_sql = none;
