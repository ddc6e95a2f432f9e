/*
 * A library to be preloaded, which makes the C library fail when a test says so. The test and the programs share a page of a
 * file (BOXOFFICE_FAILING names it).
 *
 *   boxoffice serve   in its workers the Nth allocation or the Nth send fails, once (test_every_failure.py). Counted is what any
 *                     code asks for: ours and that of libpq, libcurl, jansson, libevent.
 *   postgres          while the page says so, the disk is full for its tables and indexes (test_scarce.py)
 *   redis-server      its clock is BOXOFFICE_SKEW_S seconds off (test_scarce.py)
 */
/* both names of each function are ours */
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { NOTHING, ALLOCATIONS, SENDS, DISK };

struct page {
	_Atomic int64_t what, left, seen, failed;
};

static struct page *page;
static bool worker, postgres;
static time_t skew_s;

static void in_child(void)
{
	worker = true;
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("BOXOFFICE_FAILING");
	char line[4096] = "";
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, line, sizeof(line) - 1) : 0;
	void *p;

	if (fd >= 0)
		close(fd);
	if (n > 0 && strstr(line, "redis-server") && getenv("BOXOFFICE_SKEW_S"))
		skew_s = atol(getenv("BOXOFFICE_SKEW_S"));
	postgres = n > 0 && strstr(line, "postgres");
	/* "boxoffice\0serve\0..." and nobody else who inherits our environment */
	if (!path || n <= 0 || !(postgres || strcmp(line + strlen(line) + 1, "serve") == 0))
		return;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return;
	pthread_atfork(NULL, NULL, in_child);
	page = p;
}

static bool fails(int64_t what)
{
	if (!worker || postgres || !page || page->what != what)
		return false;
	page->seen++;
	if (--page->left != 0)
		return false;
	page->failed++;
	return true;
}

#define REAL(name) \
	static __typeof__(&name) real; \
	if (!real) \
	real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

void *malloc(size_t n)
{
	REAL(malloc);
	if (fails(ALLOCATIONS)) {
		errno = ENOMEM;
		return NULL;
	}
	return real(n);
}

void *calloc(size_t n, size_t size)
{
	REAL(calloc);
	if (fails(ALLOCATIONS)) {
		errno = ENOMEM;
		return NULL;
	}
	return real(n, size);
}

void *realloc(void *p, size_t n)
{
	REAL(realloc);
	if (fails(ALLOCATIONS)) {
		errno = ENOMEM;
		return NULL;
	}
	return real(p, n);
}

static bool send_fails(int fd)
{
	struct stat st;

	if (!worker || postgres || !page || page->what != SENDS || fstat(fd, &st) != 0 || !S_ISSOCK(st.st_mode) || !fails(SENDS))
		return false;
	/* a connection on which nothing can be sent is one that is gone */
	shutdown(fd, SHUT_RDWR);
	errno = ECONNRESET;
	return true;
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
	REAL(send);
	return send_fails(fd) ? -1 : real(fd, p, n, flags);
}

ssize_t sendto(int fd, const void *p, size_t n, int flags, const struct sockaddr *to, socklen_t to_n)
{
	REAL(sendto);
	return send_fails(fd) ? -1 : real(fd, p, n, flags, to, to_n);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	REAL(sendmsg);
	return send_fails(fd) ? -1 : real(fd, m, flags);
}

ssize_t write(int fd, const void *p, size_t n)
{
	REAL(write);
	return send_fails(fd) ? -1 : real(fd, p, n);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
	REAL(writev);
	return send_fails(fd) ? -1 : real(fd, v, n);
}

/* ---- PostgreSQL's disk ---- */

static bool disk_full(int fd)
{
	char link[64], path[4096];
	ssize_t n;

	if (!postgres || !page || page->what != DISK)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return false;
	path[n] = '\0';
	if (!strstr(path, "/base/"))
		return false;
	page->failed++;
	errno = ENOSPC;
	return true;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	REAL(pwrite);
	return disk_full(fd) ? -1 : real(fd, p, n, at);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	REAL(pwrite64);
	return disk_full(fd) ? -1 : real(fd, p, n, at);
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	REAL(pwritev);
	return disk_full(fd) ? -1 : real(fd, v, n, at);
}

ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t at)
{
	REAL(pwritev64);
	return disk_full(fd) ? -1 : real(fd, v, n, at);
}

int posix_fallocate(int fd, off_t at, off_t n)
{
	REAL(posix_fallocate);
	return disk_full(fd) ? ENOSPC : real(fd, at, n);
}

int posix_fallocate64(int fd, off64_t at, off64_t n)
{
	REAL(posix_fallocate64);
	return disk_full(fd) ? ENOSPC : real(fd, at, n);
}

/* ---- Redis' clock ---- */

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	REAL(gettimeofday);
	int status = real(tv, zone);

	tv->tv_sec += skew_s;
	return status;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
	REAL(clock_gettime);
	int status = real(clock, t);

	if (status == 0 && clock == CLOCK_REALTIME)
		t->tv_sec += skew_s;
	return status;
}

time_t time(time_t *ret)
{
	REAL(time);
	time_t now = real(NULL) + skew_s;

	if (ret)
		*ret = now;
	return now;
}
