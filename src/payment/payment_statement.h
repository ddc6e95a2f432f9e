/* The daily statement. */
#ifndef PAYMENT_PAYMENT_STATEMENT_H
#define PAYMENT_PAYMENT_STATEMENT_H

#include "io/web.h"

web_handler payment_statement_get;

#endif
