// SPDX-License-Identifier: GPL-2.0-only
/* What a user sees */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vfioctl.h"

int fail(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "vfioctl: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	return EXIT_NO;
}

char *vtext(const char *format, va_list args)
{
	char *result;

	if (vasprintf(&result, format, args) < 0)
		abort();
	return result;
}

char *text(const char *format, ...)
{
	va_list args;
	char *result;

	va_start(args, format);
	result = vtext(format, args);
	va_end(args);
	return result;
}

char *as_utf8(char *string)
{
	for (char *at = string; *at; at++) {
		json_t *character = NULL;
		size_t length = 0;

		if (!(*at & 0x80))
			continue;
		/* What is a character JSON says itself. */
		while (!character && length < 4 && at[length])
			character = json_stringn(at, ++length);
		if (character)
			at += length - 1;
		else
			*at = '?';
		json_decref(character);
	}
	return string;
}

json_t *vsentence(const char *format, va_list args)
{
	char *string = as_utf8(vtext(format, args));
	json_t *result = json_string(string);

	if (!result)
		abort();
	free(string);
	return result;
}

json_t *sentence(const char *format, ...)
{
	va_list args;
	json_t *result;

	va_start(args, format);
	result = vsentence(format, args);
	va_end(args);
	return result;
}

json_t *answer_json(enum answer answer)
{
	return answer == UNKNOWN ? json_null() : json_boolean(answer == YES);
}

const char *json_text(json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

const char *in_words(json_t *answer)
{
	return json_is_true(answer) ? "yes" : json_is_false(answer) ? "no" : "not known";
}

void print_json(json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(value);
}

struct table {
	size_t columns, cells, room;
	char **cell;
};

static void add_cell(struct table *table, const char *content)
{
	if (table->cells == table->room) {
		table->room = 2 * table->room + 64;
		table->cell = realloc(table->cell, table->room * sizeof(*table->cell));
		if (!table->cell)
			abort();
	}
	table->cell[table->cells++] = text("%s", content && *content ? content : "-");
}

struct table *table_new(const char *head, ...)
{
	struct table *table = calloc(1, sizeof(*table));
	va_list heads;

	if (!table)
		abort();
	va_start(heads, head);
	for (; head; head = va_arg(heads, const char *))
		add_cell(table, head);
	va_end(heads);
	table->columns = table->cells;
	return table;
}

void table_row(struct table *table, ...)
{
	va_list cells;

	va_start(cells, table);
	for (size_t i = 0; i < table->columns; i++)
		add_cell(table, va_arg(cells, const char *));
	va_end(cells);
}

void table_print(struct table *table)
{
	size_t width[table->columns];

	memset(width, 0, sizeof(width));
	for (size_t i = 0; i < table->cells; i++)
		if (strlen(table->cell[i]) > width[i % table->columns])
			width[i % table->columns] = strlen(table->cell[i]);
	for (size_t i = 0; i < table->cells; i++) {
		size_t column = i % table->columns;

		if (column + 1 < table->columns)
			printf("%-*s  ", (int)width[column], table->cell[i]);
		else
			printf("%s\n", table->cell[i]);
		free(table->cell[i]);
	}
	free(table->cell);
	free(table);
}
