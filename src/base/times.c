#include "base/times.h"

#include <stdio.h>

/* Era arithmetic: 400 years are 146097 days; a year here starts in March, so that the leap day is its last. */
int64_t days_from_civil(int64_t y, int m, int d)
{
	int64_t era, yoe, doy, doe;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	yoe = y - era * 400;
	doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * 146097 + doe - 719468;
}

void civil_from_days(int64_t days, int64_t *ret_y, int *ret_m, int *ret_d)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*ret_d = (int)(doy - (153 * mp + 2) / 5 + 1);
	*ret_m = (int)(mp < 10 ? mp + 3 : mp - 9);
	*ret_y = yoe + era * 400 + (*ret_m <= 2);
}

static char *put_digits(char *at, int v, int count)
{
	for (int i = count; i-- > 0; v /= 10)
		at[i] = (char)('0' + v % 10);
	return at + count;
}

size_t time_format(int64_t us, char out[TIME_TEXT_MAX])
{
	int64_t days = us / US_PER_DAY, rest = us % US_PER_DAY, y;
	char *at = out;
	int m, d, ms;

	if (rest < 0) {
		rest += US_PER_DAY;
		days--;
	}
	civil_from_days(days, &y, &m, &d);
	ms = (int)(rest / 1000 % 1000);
	if (y >= 0 && y <= 9999)
		at = put_digits(at, (int)y, 4);
	else
		at += snprintf(at, TIME_TEXT_MAX - 20, "%04lld", (long long)y);
	*at++ = '-';
	at = put_digits(at, m, 2);
	*at++ = '-';
	at = put_digits(at, d, 2);
	*at++ = 'T';
	at = put_digits(at, (int)(rest / US_PER_HOUR), 2);
	*at++ = ':';
	at = put_digits(at, (int)(rest / US_PER_MINUTE % 60), 2);
	*at++ = ':';
	at = put_digits(at, (int)(rest / US_PER_SECOND % 60), 2);
	if (ms) {
		*at++ = '.';
		at = put_digits(at, ms, 3);
	}
	*at++ = 'Z';
	*at = '\0';
	return (size_t)(at - out);
}

static bool digits(struct str *s, int count, int *ret)
{
	int v = 0;

	if (s->n < (size_t)count)
		return false;
	for (int i = 0; i < count; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		v = v * 10 + (s->p[i] - '0');
	}
	s->p += count;
	s->n -= (size_t)count;
	*ret = v;
	return true;
}

static bool one_of(struct str *s, const char *set, char *ret)
{
	if (s->n == 0)
		return false;
	for (; *set; set++)
		if (s->p[0] == *set) {
			*ret = *set;
			s->p++;
			s->n--;
			return true;
		}
	return false;
}

static int days_in_month(int y, int m)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return m == 2 && (y % 4 == 0 && (y % 100 != 0 || y % 400 == 0)) ? 29 : days[m - 1];
}

bool time_parse(struct str s, int64_t *ret_us)
{
	int y, mo, d, h, mi, sec, oh = 0, om = 0;
	int64_t us = 0;
	char c;

	if (!digits(&s, 4, &y) || !one_of(&s, "-", &c) || !digits(&s, 2, &mo) || !one_of(&s, "-", &c) ||
	    !digits(&s, 2, &d))
		return false;
	if (!one_of(&s, "Tt ", &c) || !digits(&s, 2, &h) || !one_of(&s, ":", &c) || !digits(&s, 2, &mi) ||
	    !one_of(&s, ":", &c) || !digits(&s, 2, &sec))
		return false;
	if (y < 1970 || mo < 1 || mo > 12 || d < 1 || d > days_in_month(y, mo) || h > 23 || mi > 59 || sec > 59)
		return false;
	if (one_of(&s, ".", &c)) {
		int64_t unit = 100000;
		int n = 0, digit;

		while (s.n && s.p[0] >= '0' && s.p[0] <= '9') {
			if (++n > 6 || !digits(&s, 1, &digit))
				return false;
			us += digit * unit;
			unit /= 10;
		}
		if (n == 0)
			return false;
	}
	if (!one_of(&s, "Zz+-", &c))
		return false;
	if (c == '+' || c == '-') {
		char colon;

		if (!digits(&s, 2, &oh) || !one_of(&s, ":", &colon) || !digits(&s, 2, &om) || oh > 23 || om > 59)
			return false;
	}
	if (s.n)
		return false;
	us += (days_from_civil(y, mo, d) * 86400 + h * INT64_C(3600) + mi * INT64_C(60) + sec) * US_PER_SECOND;
	us -= (c == '-' ? -1 : 1) * (oh * INT64_C(3600) + om * INT64_C(60)) * US_PER_SECOND;
	/* an offset may carry a time out of the years that its text can be written in */
	if (us < 0 || us >= days_from_civil(10000, 1, 1) * US_PER_DAY)
		return false;
	*ret_us = us;
	return true;
}
