# SPDX-License-Identifier: MIT
# The device side: firmware for emulated boards, and its sizes. A port is a
# compiler, its flags, a board's folder in embedded/ports and the machine of
# QEMU that has it. One with -int has a decoder for integers only, one with
# -cast has casts of the base, one with -place updates in place, the others have
# two slots. One with -signed takes only what a key has signed, by libsodium.

PORTS = cortex-m4 cortex-m4-int cortex-m4-place cortex-m4-cast cortex-m0plus \
	cortex-m0plus-int riscv32 riscv32-int riscv32-place lx106 lx106-int
ARM = arm-none-eabi-gcc -mthumb
RV32 = riscv64-unknown-elf-gcc -march=rv32imc_zicsr -mabi=ilp32
LX106 = xtensa-lx106-elf-gcc -mlongcalls -mtext-section-literals

cc-cortex-m4 = $(ARM) -mcpu=cortex-m4
cc-cortex-m0plus = $(ARM) -mcpu=cortex-m0plus
cc-riscv32 = $(RV32)
cc-lx106 = $(LX106)
board-cortex-m4 = cortex-m4
board-cortex-m0plus = cortex-m4
board-riscv32 = riscv32
board-lx106 = lx106

# -O of the ports, and what a device's decoder knows.
EMB_OPT = -Os -fno-inline-functions-called-once
EMB_DEC = -DML_DEC_CLASS=1 -DML_DEC_OFF32
# Element types: bytes, i8, i16, i32, f16, bf16, f32, u4; or without floats.
# Headers: with a signature, without.
EMB_ALL = -DML_DEC_TYPES=0x8ef -DML_DEC_HDR=232
EMB_INT = -DML_DEC_TYPES=0x80f -DML_DEC_HDR=112
# What a variant of a port is compiled with.
emb = $(if $(filter %-int,$1),$(EMB_INT),$(EMB_ALL)) \
	-DML_UPD_IN_PLACE=$(if $(filter %-place,$1),1,0) \
	-DML_DEC_CASTS=$(if $(filter %-cast,$1),1,0)
EMB_FLAGS = $(EMB_OPT) $(WARN) -Werror -ffreestanding -fno-common \
	-ffunction-sections -fdata-sections -fno-tree-loop-distribute-patterns \
	-isystem embedded/ports/common/include -Iembedded $(EMB_DEC)
EMB_SRC = mldec.c update.c mlsha.c xmodem.c examples/main.c \
	ports/common/mem.c ports/common/sim.c flash/nor.c

cpu = $(patsubst %-place,%,$(patsubst %-cast,%,$(patsubst %-int,%,$1)))
compiler = $(shell command -v $(firstword $(cc-$(call cpu,$1))))
EMB_HAVE = $(foreach p,$(PORTS),$(if $(call compiler,$p),$p))

embedded: $(EMB_HAVE:%=$(B)/embedded/%/firmware.elf) ## firmware for devices
	@for p in $(filter-out $(EMB_HAVE),$(PORTS)); do \
		echo "skipped $$p: no compiler"; \
	done
	@for p in $(EMB_HAVE); do \
		embedded/ports/symbols.sh $(B)/embedded/$$p/*.o || exit 1; \
	done

embedded-size: embedded ## code, RAM and stack of each part on each port
	@embedded/ports/size.py $(EMB_HAVE:%=$(B)/embedded/%)

# $1: port
define EMB_PORT
$(B)/embedded/$1/firmware.elf: $$(EMB_SRC:%=embedded/%) \
	$$(wildcard embedded/*.h embedded/*/*.h embedded/ports/*/*) \
	embedded/ports/embedded.mk
	@mkdir -p $$(@D)
	@rm -f $$(@D)/*
	for c in $$(EMB_SRC) ports/common/sizes.c ports/$(board-$(call cpu,$1))/board.c; do \
		$(cc-$(call cpu,$1)) $$(EMB_FLAGS) \
			$(call emb,$1) \
			-fcallgraph-info=su -c -o $$(@D)/`basename $$$$c .c`.o \
			embedded/$$$$c || exit 1; \
	done
	$(cc-$(call cpu,$1)) $$(EMB_OPT) -nostdlib -Wl,--gc-sections,-Map=$$(@D)/firmware.map \
		-T embedded/ports/$(board-$(call cpu,$1))/board.ld \
		-o $$@ $$(patsubst %.c,$$(@D)/%.o,$$(notdir $$(EMB_SRC)) board.c) \
		-lgcc
endef
$(foreach p,$(PORTS),$(eval $(call EMB_PORT,$p)))

# Instructions of an update, tests/embedded-speed.sh: the same objects, but
# with flash that does nothing else than store.
$(B)/embedded/%/bench.elf: $(B)/embedded/%/firmware.elf \
	embedded/examples/bench.c
	$(cc-$(call cpu,$*)) $(EMB_FLAGS) $(call emb,$*) -nostdlib -Wl,--gc-sections \
		-T embedded/ports/$(board-$(call cpu,$*))/board.ld -o $@ \
		embedded/examples/bench.c $(patsubst %,$(@D)/%.o,mldec update \
		mlsha mem board) -lgcc

# The same firmware as a program of this machine, for sanitizers.
# Not relocated: what is in the journal is of one place in memory.
EMB_HOST = mldec.c update.c mlsha.c xmodem.c examples/main.c flash/nor.c \
	ports/host/board.c
$(B)/embedded/host/firmware $(B)/embedded/host-int/firmware \
$(B)/embedded/host-place/firmware $(B)/embedded/host-cast/firmware: \
	$(wildcard embedded/*.[ch] embedded/*/*.[ch] embedded/ports/*/*.[ch])
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) -D_POSIX_C_SOURCE=200809L -Iembedded \
		$(EMB_DEC) $(call emb,$(notdir $(@D))) -fno-pie -no-pie -o $@ \
		$(EMB_HOST:%=embedded/%)

# The same with keys. What signs is made here, too: for tests.
EMB_SIGN = -DML_SIGNED embedded/examples/accept.c \
	embedded/examples/ed25519_sodium.c
$(B)/embedded/keys/keys.c: embedded/examples/keys.py
	@mkdir -p $(@D)
	cd $(@D) && for k in old new other; do \
		minisign -G -f -W -p $$k.pub -s $$k.key >/dev/null || exit 1; \
	done
	embedded/examples/keys.py $(@D)/old.pub $(@D)/new.pub >$@.tmp
	mv $@.tmp $@
$(B)/embedded/host-signed/firmware $(B)/embedded/host-place-signed/firmware: \
	$(wildcard embedded/*.[ch] embedded/*/*.[ch] embedded/ports/*/*.[ch]) \
	$(B)/embedded/keys/keys.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARN) -D_POSIX_C_SOURCE=200809L -Iembedded \
		$(EMB_DEC) $(call emb,$(patsubst %-signed,%,$(notdir $(@D)))) \
		-fno-pie -no-pie -o $@ $(EMB_HOST:%=embedded/%) $(EMB_SIGN) \
		$(B)/embedded/keys/keys.c -lsodium

# And for a Cortex-M4, with libsodium for it; more room for that and its stack.
SODIUM_ARM ?= $(B)/embedded/libsodium
$(SODIUM_ARM)/lib/libsodium.a:
	embedded/examples/libsodium.sh $(SODIUM_ARM)
embedded-signed: $(B)/embedded/cortex-m4-signed/firmware.elf ## with libsodium
$(B)/embedded/cortex-m4-signed/firmware.elf: $(SODIUM_ARM)/lib/libsodium.a \
	$(EMB_SRC:%=embedded/%) embedded/examples/accept.c \
	$(wildcard embedded/*.h embedded/*/*.h) $(B)/embedded/keys/keys.c
	@mkdir -p $(@D)
	sed -e 's/LENGTH = 32K/LENGTH = 128K/; s/LENGTH = 4K/LENGTH = 16K/' \
		-e 's/ml_stack_low + 1024/ml_stack_low + 12288/' \
		embedded/ports/cortex-m4/board.ld >$(@D)/board.ld
	$(cc-cortex-m4) $(EMB_FLAGS) $(call emb,cortex-m4) -nostdlib \
		-Wl,--gc-sections,-Map=$(@D)/firmware.map \
		-T $(@D)/board.ld -o $@ -isystem $(SODIUM_ARM)/include \
		$(EMB_SRC:%=embedded/%) embedded/ports/cortex-m4/board.c \
		$(EMB_SIGN) $(B)/embedded/keys/keys.c \
		$(SODIUM_ARM)/lib/libsodium.a -lc -lnosys -lgcc

.PHONY: embedded embedded-size embedded-signed

$(B)/tests/unit/test_flash $(B)/tests/unit/test_stage $(B)/tests/unit/test_update: \
	$(B)/embedded/flash/nor.o
