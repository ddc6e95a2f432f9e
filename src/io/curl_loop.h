/*
 * libcurl's multi interface on the loop, for the adapters in io/ (http_client, mail): a multi handle, its sockets' watches and
 * its timer. Nothing calls back from inside libcurl: finished transfers are taken from its queue afterwards, so that callbacks
 * may start and cancel transfers of the same multi, and free everything but the curl_loop itself.
 */
#ifndef IO_CURL_LOOP_H
#define IO_CURL_LOOP_H

#include "io/loop.h"

#include <curl/curl.h>

struct curl_loop;

/* A transfer that was added has ended; its easy handle is still in the multi. */
typedef void curl_loop_fn(void *arg, CURL *easy, CURLcode code);

struct curl_loop *curl_loop_new(struct loop *loop, curl_loop_fn *fn, void *arg);
/* Its easy handles must have been removed. */
void curl_loop_free(struct curl_loop *c);
CURLM *curl_loop_multi(struct curl_loop *c);

/* An option that libcurl knows and takes. */
#define CURL_SET(easy, option, value) \
	do { \
		CURLcode set_ = curl_easy_setopt((easy), (option), (value)); \
		assert(set_ == CURLE_OK); \
		(void)set_; \
	} while (0)

#endif
