/* Until src/work is there. */
#pragma once
#include "io/pg.h"
extern const struct pg_stmt *const *const work_sql;
