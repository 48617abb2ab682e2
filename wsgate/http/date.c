/*
 * Calendar arithmetic in 64 bits on the proleptic Gregorian calendar. Days are counted in 400-year eras that begin on
 * 1 March, so that the leap day is the last day of a year and months need no table.
 */
#include "http/date.h"

#include <stdio.h>

static const char DAYS[7][10] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
static const char MONTHS[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

enum { ERA_DAYS = 146097, EPOCH_SHIFT = 719468 /* days from 0000-03-01 to 1970-01-01 */ };

static const int64_t DAY_S = 86400;
static const int64_t YEAR_0_S = -62167219200;
static const int64_t YEAR_9999_END_S = 253402300799;

struct civil {
    int64_t year;
    int month; /* 1 to 12 */
    int day;   /* 1 to 31 */
    int hour, minute, second;
};

static int64_t days_of(int64_t year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * ERA_DAYS + day_of_era - EPOCH_SHIFT;
}

static struct civil civil_of(int64_t time_s)
{
    int64_t days = (time_s >= 0 ? time_s : time_s - (DAY_S - 1)) / DAY_S;
    int second_of_day = (int)(time_s - days * DAY_S);
    int64_t z = days + EPOCH_SHIFT;
    int64_t era = (z >= 0 ? z : z - (ERA_DAYS - 1)) / ERA_DAYS;
    int64_t day_of_era = z - era * ERA_DAYS;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * day_of_year + 2) / 153;
    struct civil c = {
        .day = (int)(day_of_year - (153 * shifted_month + 2) / 5 + 1),
        .month = (int)(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9),
        .hour = second_of_day / 3600,
        .minute = second_of_day / 60 % 60,
        .second = second_of_day % 60,
    };
    c.year = year_of_era + era * 400 + (c.month <= 2);
    return c;
}

static int month_days(int64_t year, int month)
{
    if (month == 2)
        return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

void wsg_http_date_format(int64_t time_s, char ret_text[static WSG_HTTP_DATE_SIZE])
{
    if (time_s < YEAR_0_S)
        time_s = YEAR_0_S;
    if (time_s > YEAR_9999_END_S)
        time_s = YEAR_9999_END_S;
    struct civil c = civil_of(time_s);
    int64_t days = days_of(c.year, c.month, c.day);
    int64_t weekday = ((days + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
    char text[96];                              /* room for what the compiler thinks the numbers could be */
    (void)snprintf(text, sizeof text, "%.3s, %02d %s %04d %02d:%02d:%02d GMT", DAYS[weekday], c.day,
                   MONTHS[c.month - 1], (int)c.year, c.hour, c.minute, c.second);
    memcpy(ret_text, text, WSG_HTTP_DATE_SIZE - 1);
    ret_text[WSG_HTTP_DATE_SIZE - 1] = 0;
}

static bool take_text(struct wsb_span *s, const char *text)
{
    size_t n = strlen(text);
    if (s->len < n || memcmp(s->ptr, text, n) != 0)
        return false;
    *s = wsb_span(s->ptr + n, s->len - n);
    return true;
}

static bool take_number(struct wsb_span *s, size_t digits, int *ret)
{
    int v = 0;
    if (s->len < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (s->ptr[i] < '0' || s->ptr[i] > '9')
            return false;
        v = v * 10 + (s->ptr[i] - '0');
    }
    *s = wsb_span(s->ptr + digits, s->len - digits);
    *ret = v;
    return true;
}

static bool take_month(struct wsb_span *s, int *ret)
{
    for (int i = 0; i < 12; i++) {
        if (take_text(s, MONTHS[i])) {
            *ret = i + 1;
            return true;
        }
    }
    return false;
}

static bool take_clock(struct wsb_span *s, struct civil *c)
{
    return take_number(s, 2, &c->hour) && take_text(s, ":") && take_number(s, 2, &c->minute) && take_text(s, ":") &&
           take_number(s, 2, &c->second);
}

static bool take_weekday(struct wsb_span *s, bool is_long)
{
    for (size_t i = 0; i < 7; i++) {
        char short_name[4] = {DAYS[i][0], DAYS[i][1], DAYS[i][2], 0};
        if (take_text(s, is_long ? DAYS[i] : short_name))
            return true;
    }
    return false;
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static bool parse_imf(struct wsb_span s, struct civil *c)
{
    int year = 0;
    bool fits = take_weekday(&s, /*is_long=*/false) && take_text(&s, ", ") && take_number(&s, 2, &c->day) &&
                take_text(&s, " ") && take_month(&s, &c->month) && take_text(&s, " ") && take_number(&s, 4, &year) &&
                take_text(&s, " ") && take_clock(&s, c) && take_text(&s, " GMT") && s.len == 0;
    c->year = year;
    return fits;
}

/* Sunday, 06-Nov-94 08:49:37 GMT */
static bool parse_rfc850(struct wsb_span s, int64_t now_s, struct civil *c)
{
    int year = 0;
    bool fits = take_weekday(&s, /*is_long=*/true) && take_text(&s, ", ") && take_number(&s, 2, &c->day) &&
                take_text(&s, "-") && take_month(&s, &c->month) && take_text(&s, "-") && take_number(&s, 2, &year) &&
                take_text(&s, " ") && take_clock(&s, c) && take_text(&s, " GMT") && s.len == 0;
    if (!fits)
        return false;
    int64_t now_year = civil_of(now_s).year;
    c->year = now_year - now_year % 100 + year;
    if (c->year > now_year + 50)
        c->year -= 100;
    return true;
}

/* Sun Nov  6 08:49:37 1994 */
static bool parse_asctime(struct wsb_span s, struct civil *c)
{
    int year = 0;
    bool fits =
        take_weekday(&s, /*is_long=*/false) && take_text(&s, " ") && take_month(&s, &c->month) && take_text(&s, " ") &&
        (take_text(&s, " ") ? take_number(&s, 1, &c->day) : take_number(&s, 2, &c->day)) && take_text(&s, " ") &&
        take_clock(&s, c) && take_text(&s, " ") && take_number(&s, 4, &year) && s.len == 0;
    c->year = year;
    return fits;
}

wsb_err wsg_http_date_parse(struct wsb_span text, int64_t now_s, int64_t *ret_time_s)
{
    struct civil c = {0};
    if (!parse_imf(text, &c) && !parse_rfc850(text, now_s, &c) && !parse_asctime(text, &c))
        return WSB_ERR_PROTO;
    /* 60: a leap second, which is the first second of the next minute for us */
    if (c.day < 1 || c.day > month_days(c.year, c.month) || c.hour > 23 || c.minute > 59 || c.second > 60)
        return WSB_ERR_PROTO;
    *ret_time_s = days_of(c.year, c.month, c.day) * DAY_S + (int64_t)c.hour * 3600 + (int64_t)c.minute * 60 + c.second;
    return WSB_OK;
}
