/* SPDX-License-Identifier: MIT */
/* Writes the header of a patch, ml-patch(5), and knows its words. */
#include <string.h>

#include "bytes.h"
#include "cast.h"
#include "hdr.h"
#include "mldec.h"
#include "ops.h"

int ml_get_varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	unsigned shift;

	*v = 0;
	for (shift = 0; *p < end && shift < 7 * ML_VARINT_MAX; shift += 7) {
		const uint8_t b = *(*p)++;

		*v |= (uint64_t)(b & 127) << shift;
		if (b < 128)
			return b || !shift ? 1 : -1; /* shortest form only */
	}
	return shift < 7 * ML_VARINT_MAX ? 0 : -1;
}

int ml_info_wrapped(const struct ml_patch_info *info)
{
	return info->target_wraps.n || info->base_wraps.n || info->casts.n;
}

uint64_t ml_info_base_image(const struct ml_patch_info *info)
{
	uint64_t n = info->base_wraps.n ? info->base_wraps.image :
		info->base_size;
	size_t i;

	for (i = 0; i < info->casts.n; i++)
		n += ml_cast_len(&info->casts.c[i]);
	return n;
}

int ml_hdr_sum(const struct ml_hdr *h)
{
	return h->flags & ML_HF_XXH3 ? ML_XXH3 : ML_SHA256;
}

size_t ml_hdr_put(uint8_t *p, const struct ml_patch_info *info, int cls,
	uint64_t body, uint64_t window, uint64_t types)
{
	uint8_t f[7 * ML_VARINT_MAX + 2 * ML_SHA256_LEN + 15], *len;
	size_t n = 0, k = 4;

	n += ml_put_varint(f + n, info->release);
	n += ml_put_varint(f + n, info->target_size);
	if (info->has_base)
		n += ml_put_varint(f + n, info->base_size);
	n += ml_put_varint(f + n, body);
	n += ml_put_varint(f + n, window);
	memcpy(f + n, info->target_sha, ML_SHA256_LEN);
	n += ML_SHA256_LEN;
	if (info->has_base) {
		memcpy(f + n, info->base_sha, ML_SHA256_LEN);
		n += ML_SHA256_LEN;
	}
	if (types) {
		f[n++] = ML_EXT_TYPES;
		len = &f[n++];
		for (; types; types >>= 8)
			f[n++] = (uint8_t)types;
		*len = (uint8_t)(f + n - len - 1);
	}
	if (ml_info_wrapped(info)) {
		f[n++] = ML_EXT_IMAGE;
		len = &f[n++];
		n += ml_put_varint(f + n, info->target_wraps.n ?
			info->target_wraps.image : info->target_size);
		n += ml_put_varint(f + n, ml_info_base_image(info));
		*len = (uint8_t)(f + n - len - 1);
	}
	if (info->page) {
		f[n++] = ML_EXT_PAGE;
		f[n++] = 2;
		f[n++] = (uint8_t)info->page;
		f[n++] = (uint8_t)info->lead;
	}
	memcpy(p, ML_PATCH_MAGIC, 4);
	p[k++] = ML_PATCH_VERSION;
	p[k++] = (uint8_t)cls;
	p[k++] = (uint8_t)((info->has_base ? ML_HF_BASE : 0) |
		(info->page ? ML_HF_IN_PLACE : 0) |
		(info->sum == ML_XXH3 ? ML_HF_XXH3 : 0));
	k += ml_put_varint(p + k, n);
	memcpy(p + k, f, n);
	k += n;
	ml_store32(p + k, ml_crc32(0, p, k));
	return k + 4;
}

/* What of a header is unknown here. */
static int newer(const struct ml_hdr *h, uint64_t off, struct ml_diag *diag)
{
	const uint8_t *e = h->ext, *end = e ? e + h->ext_len : NULL;

	if (h->version != ML_PATCH_VERSION)
		return ml_fail_newer(diag, off, "patch of format %u",
			h->version);
	if (h->cls < ML_NANO || h->cls > ML_FULL)
		return ml_fail_newer(diag, off, "patch of memory class %u",
			h->cls);
	if (h->flags & ~ML_HF_KNOWN)
		return ml_fail_newer(diag, off, "patch with the flags 0x%02x",
			h->flags & ~ML_HF_KNOWN);
	/* their form was checked up to the one that is unknown */
	for (; e < end; e += 2 + e[1])
		if (e[0] & 0x80 && e[0] != ML_EXT_PAGE && (e[0] != ML_EXT_SIG ||
			e[1] != ML_SIG_FIELD || e[2] != ML_SIG_ED25519) &&
			(e[0] != ML_EXT_IMAGE || h->cls != ML_FULL))
			return ml_fail_newer(diag, off, e[0] == ML_EXT_SIG ?
				"patch with another kind of signature (0x%02x)"
				: "patch with the critical field 0x%02x", e[0]);
	return ml_fail_newer(diag, off, "patch");
}

int ml_hdr_refused(int r, const struct ml_hdr *h, uint64_t off,
	struct ml_diag *diag)
{
	if (r == ML_DEC_ECRC)
		return ml_fail(diag, ML_ECHECK, off,
			"header of the patch is damaged: its CRC-32 does not "
			"match");
	if (r == ML_DEC_EVERSION)
		return newer(h, off, diag);
	if (h->version) /* so the magic was right */
		return ml_fail(diag, ML_EFORMAT, off + 4,
			"malformed header of a patch");
	return ml_fail(diag, ML_EFORMAT, off, "not a mallorn patch");
}

int ml_dec_err(int status)
{
	switch (status) {
	case ML_DEC_EVERSION: return ML_EVERSION;
	case ML_DEC_ECLASS: return ML_ECLASS;
	case ML_DEC_ECRC: return ML_ECHECK;
	case ML_DEC_EIO: return ML_EIO;
	default: return ML_EFORMAT;
	}
}

static const char *const class_name[] = {"nano", "micro", "full"};

const char *ml_class_name(int cls)
{
	return cls >= ML_NANO && cls <= ML_FULL ? class_name[cls - ML_NANO] :
		"unknown";
}

int ml_class_by_name(const char *name)
{
	int cls;

	for (cls = ML_NANO; cls <= ML_FULL; cls++)
		if (strcmp(name, ml_class_name(cls)) == 0)
			return cls;
	return 0;
}
