/* SPDX-License-Identifier: MIT */
/* How a failure is told: error numbers, a clause saying why, and hostile text
 * made fit for a terminal. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "ml.h"

int ml_fail(struct ml_diag *diag, int err, uint64_t off, const char *fmt, ...)
{
	va_list ap;

	diag->off = off;
	diag->errnum = 0;
	va_start(ap, fmt);
	vsnprintf(diag->why, sizeof(diag->why), fmt, ap);
	va_end(ap);
	return err;
}

int ml_fail_newer(struct ml_diag *diag, uint64_t off, const char *fmt, ...)
{
	char what[80];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return ml_fail(diag, ML_EVERSION, off, "%s: needs a newer mallorn than "
		ML_VERSION_STRING " (patch format %d, stream format %d)",
		what, ML_PATCH_VERSION, ML_STREAM_VERSION);
}

int ml_fail_errno(struct ml_diag *diag, const char *what)
{
	const int e = errno;

	ml_fail(diag, ML_EIO, ML_NOWHERE, "%s", what);
	diag->errnum = e;
	return ML_EIO;
}

const char *ml_strerror(int err)
{
	switch (err) {
	case ML_OK: return "no error";
	case ML_EFORMAT: return "malformed input";
	case ML_ETRUNC: return "input ends too early";
	case ML_ECHECK: return "checksum mismatch";
	case ML_ELIMIT: return "over a limit of the format";
	case ML_EVERSION: return "unknown format version or feature";
	case ML_ECLASS: return "memory class too large";
	case ML_EBASE: return "wrong base";
	case ML_EDIGEST: return "digest mismatch";
	case ML_EAUTH: return "not signed by a trusted key";
	case ML_EOLD: return "an older release";
	case ML_ENOMEM: return "out of memory";
	case ML_EIO: return "input/output error";
	case ML_EINVAL: return "invalid argument";
	default: return "unknown error";
	}
}

/* The length of the well-formed UTF-8 sequence at p, else 0. The C1 controls
 * do not count: some terminals obey them. */
static size_t utf8_len(const unsigned char *p, size_t n)
{
	uint32_t c;
	size_t len, i;

	if (p[0] >= 0xc2 && p[0] < 0xe0) {
		len = 2;
		c = p[0] & 0x1fu;
	} else if (p[0] >= 0xe0 && p[0] < 0xf0) {
		len = 3;
		c = p[0] & 0x0fu;
	} else if (p[0] >= 0xf0 && p[0] < 0xf5) {
		len = 4;
		c = p[0] & 0x07u;
	} else {
		return 0;
	}
	if (n < len)
		return 0;
	for (i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	if (c < 0xa0 || (len == 3 && c < 0x800) || (c >= 0xd800 && c < 0xe000))
		return 0;
	if ((len == 4 && c < 0x10000) || c > 0x10ffff)
		return 0;
	return len;
}

char *ml_escape(char *dst, size_t cap, const char *text, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *p = (const unsigned char *)text;
	size_t i = 0, o = 0, cut = 0;

	while (i < n) {
		char unit[4];
		size_t in = 1, out = 1;

		if (p[i] >= 0x20 && p[i] < 0x7f && p[i] != '\\') {
			unit[0] = (char)p[i];
		} else if (p[i] >= 0x80 && utf8_len(p + i, n - i) > 0) {
			in = out = utf8_len(p + i, n - i);
			memcpy(unit, p + i, in);
		} else {
			unit[0] = '\\';
			unit[1] = 'x';
			unit[2] = hex[p[i] >> 4];
			unit[3] = hex[p[i] & 15];
			out = 4;
		}
		if (o + out >= cap) {
			/* the dots go where they still fit */
			for (o = cut; o < cut + 3 && o + 1 < cap; o++)
				dst[o] = '.';
			break;
		}
		memcpy(dst + o, unit, out);
		o += out;
		i += in;
		if (o + 3 < cap)
			cut = o;
	}
	dst[o] = '\0';
	return dst;
}
