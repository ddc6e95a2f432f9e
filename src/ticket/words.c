/* Owns the tables of words. Called by the PDF and by when.c. */
#include "ticket/words.h"

#include <string.h>
#include <strings.h>

#define ENGLISH \
	.ticket = "Ticket", .date = "Date", .time = "Time", .doors = "Doors", .venue = "Venue", .zone = "Section", \
	.row = "Row", .seat = "Seat", .name = "Name", .category = "Category", .price = "Price", \
	.reference = "Booking reference", .free_of_charge = "Free", .accessible = "Wheelchair place", \
	.n_of_m = "Ticket {1} of {2}", \
	.at_the_door = \
		"Please have this code ready at the entrance, on paper or on your screen. It admits one person, " \
		"once: do not share it.", \
	.terms = "Terms", .code = "Ticket code", .issued = "Issued", \
	.weekdays = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}, \
	.months = {"January", "February", "March",     "April",	  "May",      "June", \
		   "July",    "August",	  "September", "October", "November", "December"}, \
	.decimal = '.'

static const struct words table[] = {
	{.tag = "en", ENGLISH, .date_pattern = "W, D M Y", .after_time = ""},
	{.tag = "en-US", ENGLISH, .date_pattern = "W, M D, Y", .twelve_hours = true, .after_time = ""},
	{
		.tag = "de",
		.ticket = "Eintrittskarte",
		.date = "Datum",
		.time = "Beginn",
		.doors = "Einlass",
		.venue = "Ort",
		.zone = "Bereich",
		.row = "Reihe",
		.seat = "Platz",
		.name = "Name",
		.category = "Kategorie",
		.price = "Preis",
		.reference = "Buchungsnummer",
		.free_of_charge = "Kostenlos",
		.accessible = "Rollstuhlplatz",
		.n_of_m = "Karte {1} von {2}",
		.at_the_door = "Bitte halten Sie diesen Code am Einlass bereit, auf Papier oder auf dem Bildschirm. Er "
			       "gilt für "
			       "eine Person und nur einmal: Geben Sie ihn nicht weiter.",
		.terms = "Bedingungen",
		.code = "Kartencode",
		.issued = "Ausgestellt",
		.date_pattern = "W, D. M Y",
		.weekdays = {"Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"},
		.months = {"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September",
			   "Oktober", "November", "Dezember"},
		.after_time = " Uhr",
		.decimal = ',',
	},
	{
		.tag = "fr",
		.ticket = "Billet",
		.date = "Date",
		.time = "Heure",
		.doors = "Ouverture des portes",
		.venue = "Lieu",
		.zone = "Zone",
		.row = "Rang",
		.seat = "Place",
		.name = "Nom",
		.category = "Catégorie",
		.price = "Prix",
		.reference = "Référence",
		.free_of_charge = "Gratuit",
		.accessible = "Place PMR",
		.n_of_m = "Billet {1} sur {2}",
		.at_the_door = "Présentez ce code à l’entrée, sur papier ou à l’écran. Il est valable une seule fois, "
			       "pour une "
			       "personne : ne le partagez pas.",
		.terms = "Conditions",
		.code = "Code du billet",
		.issued = "Émis le",
		.date_pattern = "W D M Y",
		.weekdays = {"lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"},
		.months = {"janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre",
			   "octobre", "novembre", "décembre"},
		.after_time = "",
		.decimal = ',',
	},
	{
		.tag = "es",
		.ticket = "Entrada",
		.date = "Fecha",
		.time = "Hora",
		.doors = "Apertura de puertas",
		.venue = "Lugar",
		.zone = "Zona",
		.row = "Fila",
		.seat = "Asiento",
		.name = "Nombre",
		.category = "Categoría",
		.price = "Precio",
		.reference = "Referencia",
		.free_of_charge = "Gratis",
		.accessible = "Plaza para silla de ruedas",
		.n_of_m = "Entrada {1} de {2}",
		.at_the_door = "Tenga este código preparado en la entrada, en papel o en pantalla. Vale para una "
			       "persona y una "
			       "sola vez: no lo comparta.",
		.terms = "Condiciones",
		.code = "Código de la entrada",
		.issued = "Emitida",
		.date_pattern = "W, D de M de Y",
		.weekdays = {"lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"},
		.months = {"enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre",
			   "octubre", "noviembre", "diciembre"},
		.after_time = "",
		.decimal = ',',
	},
	{
		.tag = "zh",
		.ticket = "门票",
		.date = "日期",
		.time = "时间",
		.doors = "入场",
		.venue = "地点",
		.zone = "区域",
		.row = "排",
		.seat = "座位",
		.name = "姓名",
		.category = "票类",
		.price = "票价",
		.reference = "订单号",
		.free_of_charge = "免费",
		.accessible = "轮椅席位",
		.n_of_m = "第 {1} 张，共 {2} 张",
		.at_the_door = "入场时请出示此二维码，纸质或手机屏幕均可。每码仅限一人使用一次，请勿转发。",
		.terms = "条款",
		.code = "票码",
		.issued = "出票时间",
		.date_pattern = "Y年M月D日 W",
		.weekdays = {"星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"},
		.months = {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"},
		.after_time = "",
		.decimal = '.',
	},
	{
		.tag = "zh-Hant",
		.ticket = "門票",
		.date = "日期",
		.time = "時間",
		.doors = "入場",
		.venue = "地點",
		.zone = "區域",
		.row = "排",
		.seat = "座位",
		.name = "姓名",
		.category = "票種",
		.price = "票價",
		.reference = "訂單編號",
		.free_of_charge = "免費",
		.accessible = "輪椅席位",
		.n_of_m = "第 {1} 張，共 {2} 張",
		.at_the_door = "入場時請出示此二維碼，紙本或手機螢幕均可。每碼僅限一人使用一次，請勿轉發。",
		.terms = "條款",
		.code = "票碼",
		.issued = "出票時間",
		.date_pattern = "Y年M月D日 W",
		.weekdays = {"星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"},
		.months = {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"},
		.after_time = "",
		.decimal = '.',
	},
};

enum { N_WORDS = sizeof(table) / sizeof(table[0]) };

const struct words *words_at(size_t i)
{
	return i < N_WORDS ? &table[i] : NULL;
}

static bool separator(char c)
{
	return c == '-' || c == '_' || c == '.' || c == '\0';
}

/* Is tag ("en-US") the beginning of locale ("en_us.UTF-8")? */
static bool covers(const char *tag, const char *locale)
{
	size_t n = strlen(tag);

	for (size_t i = 0; i < n; i++) {
		char a = tag[i] == '-' ? '_' : tag[i], b = locale[i] == '-' ? '_' : locale[i];

		if (!b || strncasecmp(&a, &b, 1) != 0)
			return false;
	}
	return separator(locale[n]);
}

const struct words *words_for(const char *locale)
{
	static const char *const traditional[] = {"zh-TW", "zh-HK", "zh-MO"};
	const struct words *best = NULL;

	if (!locale)
		return &table[0];
	for (size_t i = 0; i < sizeof(traditional) / sizeof(traditional[0]); i++)
		if (covers(traditional[i], locale))
			locale = "zh-Hant";
	for (size_t i = 0; i < N_WORDS; i++)
		if (covers(table[i].tag, locale) && (!best || strlen(table[i].tag) > strlen(best->tag)))
			best = &table[i];
	return best ? best : &table[0];
}

void words_numbers(const char *pattern, int64_t one, int64_t two, struct buf *out)
{
	for (const char *p = pattern; *p; p++)
		if (p[0] == '{' && (p[1] == '1' || p[1] == '2') && p[2] == '}') {
			buf_addi(out, p[1] == '1' ? one : two);
			p += 2;
		} else
			buf_addc(out, *p);
}

void words_price(const struct words *w, struct money price, struct buf *out)
{
	char text[MONEY_TEXT_MAX];

	if (price.amount_minor == 0) {
		buf_adds(out, w->free_of_charge);
		return;
	}
	money_format(price, text);
	for (char *p = text; *p; p++)
		buf_addc(out, *p == '.' ? w->decimal : *p);
}
