# mallorn. `make help` lists the targets.
PREFIX = /usr/local
DESTDIR =
CC = cc
CFLAGS = -O2 -g
WARN = -std=c11 -pedantic -Wall -Wextra -Wshadow -Wconversion \
	-Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes \
	-Wcast-qual -Wcast-align -Wpointer-arith -Wvla -Wundef -Wformat=2 \
	-Wwrite-strings -Wswitch-enum -Wimplicit-fallthrough
CPPFLAGS =
B = build
DEFS = -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64 -Ilib -Iembedded -Icmd
LIBS = -lcrypto -lsodium -lxxhash -ldeflate -lz -larchive -lexpat -ljson-c -lm -pthread
# Where there is none, nothing is confined: see cmd/confine.h.
ifeq ($(shell printf '\043include <seccomp.h>' | \
	$(CC) -E - >/dev/null 2>&1 && echo yes),yes)
SECCOMP = -lseccomp
DEFS += -DHAVE_SECCOMP
endif
VERSION = $(shell sed -n 's/.*ML_VERSION_STRING "\(.*\)"/\1/p' lib/ml.h)
FUZZ_SECONDS = 60
MAKEFLAGS += --no-print-directory
SAN = -fsanitize=address,undefined -fno-sanitize-recover=all

CORE = $(wildcard embedded/*.c)
LIB = $(wildcard lib/*.c)
CMD = $(wildcard cmd/ml-*.c)
BIN = $(CMD:cmd/%.c=$(B)/bin/%)
OBJ = $(CORE:%.c=$(B)/%.o) $(LIB:%.c=$(B)/%.o)
UNIT = $(patsubst %.c,$(B)/%,$(wildcard tests/unit/*.c))
FUZZ = $(wildcard tests/fuzz/fuzz_*.c)
TOOLS = $(B)/tests/mlgen $(B)/tests/maxrss $(B)/tests/fault/inject \
	$(B)/tests/fault/nomem.so $(B)/tests/ideal $(B)/tests/confine
DIST = $(B)/mallorn-$(VERSION)

all: $(BIN) ## build the programs into build/bin

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(WARN) $(CFLAGS) $(CPPFLAGS) $(DEFS) -MMD -MP -c -o $@ $<

# Where the library is, the decoder takes its CRC-32.
$(B)/embedded/mldec.o: private DEFS += -DML_DEC_CRC32=ml_crc32

# Loops over columns, which in order are the same in vectors.
$(B)/lib/lowrank.o: private CFLAGS += -O3

# Look-ups in tables of these are loops to be unrolled.
$(B)/lib/fast_%.o: CFLAGS += -O3

$(B)/libmallorn.a: $(OBJ)
	rm -f $@
	$(AR) rcs $@ $(OBJ)

MANNERS = $(B)/cmd/util.o $(B)/cmd/trust.o $(B)/cmd/confine.o
$(B)/bin/%: $(B)/cmd/%.o $(MANNERS) $(B)/libmallorn.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) $(SECCOMP)

demo: ## train a small model, patch it, compare with other tools
	scripts/deps.sh demo
	$(MAKE) all
	BIN=$(B)/bin scripts/demo.sh

# ===== tests: T='cli/ml-apply models' runs only these =======================

check: ## run all tests (under five minutes on two cores)
	scripts/deps.sh check
	$(MAKE) check-built

check-asan: ## the same tests under AddressSanitizer and UBSan
	scripts/deps.sh check
	$(MAKE) check-built B=$(B)/asan CFLAGS="-O1 -g $(SAN)"

# Other libraries' writes are not seen: tests/msan.c says so for each function
# here; what needs others (libarchive, json-c) is left out.
BORDER = stat64 fstat64 fstatat64 EVP_DigestInit_ex EVP_DigestFinal_ex \
	XXH128_canonicalFromHash \
	deflateInit2_ inflateInit2_ deflate inflate deflateEnd inflateEnd \
	crypto_generichash crypto_generichash_final \
	crypto_pwhash_scryptsalsa208sha256 crypto_sign_ed25519_seed_keypair \
	crypto_sign_keypair crypto_sign_seed_keypair crypto_sign_detached \
	crypto_sign_ed25519_detached sodium_base642bin sodium_bin2base64 \
	sodium_memzero XML_ParserCreate XML_ParseBuffer XML_SetElementHandler \
	XML_SetDefaultHandler XML_SetStartDoctypeDeclHandler
MSAN = $(filter-out unit/test_tar unit/test_tree fuzz/tar fuzz/tree, \
	$(UNIT:$(B)/tests/%=%) $(FUZZ:tests/fuzz/fuzz_%.c=fuzz/%))
check-msan: all ## core, readers, coders, keys under MemorySanitizer
	scripts/deps.sh check
	$(MAKE) tests-msan B=$(B)/msan CC=clang SECCOMP= \
		DEFS="$(filter-out -DHAVE_SECCOMP,$(DEFS))" \
		CPPFLAGS=-DML_FAST_SCALAR \
		CFLAGS="-O1 -g -fsanitize=memory -fno-omit-frame-pointer" \
		LDFLAGS="$(BORDER:%=-Wl,--wrap=%) $(B)/msan/tests/msan.o"
	ln -sfn ../bin $(B)/msan/bin
	LIMIT=3600 B=$(B)/msan tests/run $(if $(T),$(T),$(MSAN))

tests-msan: $(B)/tests/msan.o
	$(MAKE) $(UNIT) $(FUZZ:%.c=$(B)/%)

# memcheck in front of each program; confined, it could not open its own files.
# Of the AVX2 kernels it calls bytes unset, but they are the same whatever the
# heap was filled with; so the scalar ones.
# What takes it more than some minutes is left out: tests/README.md says what.
SLOW = $(addprefix unit/test_,update stage dec small reset wrap fast)
VALGRIND = $(filter-out $(SLOW),$(UNIT:$(B)/tests/%=%)) \
	$(filter-out fuzz/roundtrip,$(FUZZ:tests/fuzz/fuzz_%.c=fuzz/%)) compat
check-valgrind: ## unit tests, corpora and golden files under valgrind
	scripts/deps.sh valgrind
	$(MAKE) all tests B=$(B)/valgrind CFLAGS="-O1 -g" SECCOMP= \
		CPPFLAGS=-DML_FAST_SCALAR \
		DEFS="$(filter-out -DHAVE_SECCOMP,$(DEFS))"
	scripts/valgrind.sh $(B)/valgrind $(B)/valgrind/wrapped
	LIMIT=3600 B=$(B)/valgrind/wrapped tests/run $(if $(T),$(T),$(VALGRIND))

check-neon: ## the kernels for NEON, in an emulator
	scripts/deps.sh neon
	@mkdir -p $(B)
	aarch64-linux-gnu-gcc -static $(WARN) -O2 $(DEFS) -o $(B)/test_fast_neon \
		tests/unit/test_fast.c $(CORE) $(filter-out lib/fast_zip.c \
		lib/fast_delta.c,$(wildcard lib/fast_*.c)) lib/cost.c \
		lib/elem.c lib/err.c lib/ops.c
	qemu-aarch64 $(B)/test_fast_neon

# A confined program could not write its counts, and one with injected faults
# would fail in that.
COVERED = unit fuzz hostile vectors second property pages owners twins ideal embedded \
	cli models
coverage: ## lines of lib/ and embedded/ that the tests run, by gcov
	find $(B)/cov -name '*.gcda' -delete 2>/dev/null || true
	-LIMIT=3600 $(MAKE) check-built B=$(B)/cov CC=gcc SECCOMP= \
		DEFS="$(filter-out -DHAVE_SECCOMP,$(DEFS))" LDFLAGS=--coverage \
		CFLAGS="-O1 -g --coverage -fprofile-update=atomic" T="$(COVERED)"
	scripts/coverage.py $(B)/cov

check-long: ## all that takes longer: more faults, damage and memory, fuzzing
	$(MAKE) check-asan
	LONG=1 $(MAKE) check
	bench/mem.sh
	$(MAKE) fuzz

check-built: all tests
	B=$(B) CC="$(CC)" CFLAGS="$(CFLAGS)" tests/run $(T)

tests: $(UNIT) $(TOOLS) $(FUZZ:%.c=$(B)/%) $(B)/tests/data/.done

$(B)/tests/data/.done: tests/data.sh $(B)/tests/mlgen
	tests/data.sh $(B)/tests/mlgen $(@D)

$(B)/tests/unit/%: $(B)/tests/unit/%.o $(B)/libmallorn.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/tests/fuzz/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/replay.o \
	$(B)/libmallorn.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/tests/fuzz/fuzz_update: $(B)/embedded/flash/nor.o

# The models must be the same on every machine: no fused operations.
$(B)/tests/gen/%.o: tests/gen/%.c
	@mkdir -p $(@D)
	$(CC) $(WARN) -O2 -ffp-contract=off $(DEFS) -MMD -MP -c -o $@ $<

$(B)/tests/mlgen: $(patsubst %.c,$(B)/%.o,$(wildcard tests/gen/*.c))
	$(CC) $(LDFLAGS) -o $@ $^ -lm

$(B)/tests/maxrss: bench/maxrss.c
	@mkdir -p $(@D)
	$(CC) -O2 $(DEFS) -o $@ $<

$(B)/tests/ideal: tests/ideal.c
	@mkdir -p $(@D)
	$(CC) $(WARN) -O2 -g -o $@ $< -lm

$(B)/tests/confine: $(B)/tests/confine.o $(MANNERS) $(B)/libmallorn.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) $(SECCOMP) -pthread

$(B)/tests/fault/inject: tests/fault/inject.c
	@mkdir -p $(@D)
	$(CC) $(WARN) -O2 -g -o $@ $<

$(B)/tests/fault/nomem.so: tests/fault/nomem.c
	@mkdir -p $(@D)
	$(CC) $(WARN) -O2 -g -fPIC -shared -o $@ $< -ldl

fuzz: $(FUZZ:tests/fuzz/%.c=$(B)/libfuzzer/%) ## libFuzzer, FUZZ_SECONDS of CPU time each
	scripts/fuzz.sh $(B)/fuzz $(FUZZ_SECONDS) $^

SECONDS = 600
SEED = 1000
property: all ## invariants on random pairs, from SEED on, for SECONDS
	BIN=$(B)/bin tests/property.py -v -t $(SECONDS) $(SEED)

fuzz-afl: ## the same targets by AFL++
	scripts/deps.sh afl
	$(MAKE) $(FUZZ:tests/fuzz/%.c=$(B)/afl/%)
	scripts/fuzz-afl.sh $(B)/fuzz-afl $(FUZZ_SECONDS) \
		$(FUZZ:tests/fuzz/%.c=$(B)/afl/%)

# The library instrumented once, for all targets: folder, compiler, flags.
FZFLAGS = -std=c11 -O1 -g $(SAN) $(CPPFLAGS) $(DEFS)
define instrumented
$(1)/obj/%.o: %.c
	@mkdir -p $$(@D)
	$(2) $$(FZFLAGS) $(3) -MMD -MP -c -o $$@ $$<

$(1)/libmallorn.a: $$(CORE:%.c=$(1)/obj/%.o) $$(LIB:%.c=$(1)/obj/%.o)
	rm -f $$@
	$$(AR) rcs $$@ $$^

$(1)/%: tests/fuzz/%.c $(1)/libmallorn.a
	$(2) $$(FZFLAGS) -fsanitize=fuzzer -MMD -MP -MF $$@.d \
		-o $$@ $$< $$(filter %.o %.a,$$^) $$(LIBS)

$(1)/fuzz_update: $(1)/obj/embedded/flash/nor.o
endef
$(eval $(call instrumented,$(B)/libfuzzer,clang,-fsanitize=fuzzer-no-link))
# It would add -O3, which takes minutes for a file of models; so does all inline.
$(eval $(call instrumented,$(B)/afl,AFL_DONT_OPTIMIZE=1 afl-clang-fast,\
	-DML_INLINE=static))

lint: ## manual pages, scripts, warnings of both compilers, symbols
	$(MAKE) all tests B=$(B)/lint-gcc CC=gcc CFLAGS="-O2 -Werror"
	$(MAKE) all tests B=$(B)/lint-clang CC=clang CFLAGS="-O2 -Werror"
	B=$(B)/lint-gcc scripts/lint.sh

include embedded/ports/embedded.mk

# ===== measurements =========================================================

# OLD NEW pairs; by default a 70 MB pair of bf16 checkpoints, made once.
BENCH_PAIRS = $(foreach t,bf16 fp32,$(foreach s,step0 step1,\
	$(B)/bench/steps/$(s)-$(t).safetensors))

BENCH_MADE = $(if $(findstring $(B)/bench/steps/,$(BENCH_PAIRS)),$(B)/bench/steps/.done)

bench: all $(BENCH_MADE) ## speed against other tools, over BENCH_PAIRS
	scripts/deps.sh bench
	$(MAKE) $(B)/bench/codec
	BIN=$(B)/bin bench/speed.py -o $(B)/bench -c $(B)/bench/codec \
		$(BENCH_PAIRS)

# What others are measured by here must be as fast as they can be.
$(B)/bench/codec.o: CFLAGS += -O3
$(B)/bench/codec: $(B)/bench/codec.o $(B)/libmallorn.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) -lzstd -llz4

$(B)/bench/steps/.done:
	scripts/deps.sh steps
	/usr/bin/python3 bench/steps.py $(@D) --params 35M
	touch $@

bench-size: all ## patch sizes against other tools, over MODELS
	BIN=$(B)/bin bench/size.sh -o $(B)/bench $(if $(MODELS),-m $(MODELS))

bench-mem: all ## peak memory of every program on 500 MB
	BIN=$(B)/bin bench/mem.sh

# ===== installing ===========================================================

MAN = $(wildcard man/*.[1357])
install: all ## install below DESTDIR and PREFIX
	install -d $(foreach d,bin include lib/pkgconfig,$(DESTDIR)$(PREFIX)/$d)
	install -m 755 $(BIN) $(DESTDIR)$(PREFIX)/bin
	install -m 644 lib/ml.h $(DESTDIR)$(PREFIX)/include
	install -m 644 $(B)/libmallorn.a $(DESTDIR)$(PREFIX)/lib
	for m in $(MAN); do \
		install -D -m 644 $$m $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/$${m##*/} \
			|| exit 1; \
	done
	printf '%s\n' 'prefix=$(PREFIX)' 'Name: mallorn' \
		'Description: delta updates for machine-learning models' \
		'Version: $(VERSION)' 'Cflags: -I$${prefix}/include' \
		'Libs: -L$${prefix}/lib -lmallorn $(LIBS)' \
		>$(DESTDIR)$(PREFIX)/lib/pkgconfig/mallorn.pc

uninstall: ## remove what install put there
	cd $(DESTDIR)$(PREFIX) && rm -f $(BIN:$(B)/%=%) include/ml.h \
		lib/libmallorn.a lib/pkgconfig/mallorn.pc \
		$(foreach m,$(MAN),share/man/man$(subst .,,$(suffix $m))/$(notdir $m))

dist: ## a tarball of HEAD, the same on every machine; built and tested
	rm -rf $(DIST) && mkdir -p $(B)
	git archive --format=tar --prefix=mallorn-$(VERSION)/ HEAD >$(DIST).tar
	tar -xf $(DIST).tar -C $(B)
	$(MAKE) -C $(DIST) check B=build MODELS=
	rm -rf $(DIST) && gzip -9 -n -f $(DIST).tar

clean: ## remove what was built
	rm -rf $(B)

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1	/p' Makefile

-include $(shell find $(B) -name '*.d' 2>/dev/null)
.PHONY: all bench property demo check check-asan check-neon check-msan \
	tests-msan check-valgrind coverage \
	check-long check-built tests fuzz fuzz-afl lint \
	bench-size bench-mem install uninstall dist clean help
.SECONDARY:
