// SPDX-License-Identifier: GPL-2.0-only
/* The small files of /sys and /proc */

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vfioctl.h"

static FILE *open_to_read(const char *format, va_list args)
{
	char *path = vtext(format, args);
	FILE *file = fopen(path, "r");

	free(path);
	return file;
}

char *file_line(const char *format, ...)
{
	char *line = NULL;
	size_t size = 0;
	va_list args;
	FILE *file;

	va_start(args, format);
	file = open_to_read(format, args);
	va_end(args);
	if (!file)
		return NULL;
	if (getline(&line, &size, file) < 0) {
		free(line);
		line = NULL;
	} else {
		line[strcspn(line, "\n")] = '\0';
		as_utf8(line);
	}
	fclose(file);
	return line;
}

json_t *file_lines(const char *format, ...)
{
	json_t *lines = json_array();
	char *line = NULL;
	size_t size = 0;
	va_list args;
	FILE *file;

	va_start(args, format);
	file = open_to_read(format, args);
	va_end(args);
	while (file && getline(&line, &size, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		json_array_append_new(lines, json_string(as_utf8(line)));
	}
	free(line);
	if (file)
		fclose(file);
	return lines;
}

json_t *file_paths(const char *format, ...)
{
	json_t *paths = json_array();
	char *pattern;
	va_list args;
	glob_t found;

	va_start(args, format);
	pattern = vtext(format, args);
	va_end(args);
	if (!glob(pattern, GLOB_BRACE, NULL, &found)) {
		for (size_t i = 0; i < found.gl_pathc; i++)
			json_array_append_new(paths, json_string(as_utf8(found.gl_pathv[i])));
		globfree(&found);
	}
	free(pattern);
	return paths;
}

bool file_exists(const char *format, ...)
{
	char *path;
	va_list args;
	bool exists;

	va_start(args, format);
	path = vtext(format, args);
	va_end(args);
	exists = !access(path, F_OK);
	free(path);
	return exists;
}

int file_write(const char *value, const char *format, ...)
{
	char *path, *line = text("%s\n", value);
	int fd, ret = 0;
	va_list args;

	va_start(args, format);
	path = vtext(format, args);
	va_end(args);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	free(path);
	if (fd < 0 || write(fd, line, strlen(line)) < 0)
		ret = -errno;
	if (fd >= 0)
		close(fd);
	free(line);
	return ret;
}
