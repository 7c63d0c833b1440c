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
LIBS = -lcrypto -ldeflate -ljson-c

CORE = $(wildcard embedded/*.c)
LIB = $(wildcard lib/*.c)
CMD = $(wildcard cmd/ml-*.c)
BIN = $(CMD:cmd/%.c=$(B)/bin/%)
OBJ = $(CORE:%.c=$(B)/%.o) $(LIB:%.c=$(B)/%.o)

all: $(BIN) ## build the programs into build/bin

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(WARN) $(CFLAGS) $(CPPFLAGS) $(DEFS) -MMD -MP -c -o $@ $<

$(B)/libmallorn.a: $(OBJ)
	rm -f $@
	$(AR) rcs $@ $(OBJ)

$(B)/bin/%: $(B)/cmd/%.o $(B)/cmd/util.o $(B)/libmallorn.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1	/p' Makefile

clean: ## remove what was built
	rm -rf $(B)

-include $(OBJ:.o=.d) $(CMD:%.c=$(B)/%.d) $(B)/cmd/util.d
.PHONY: all help clean
.SECONDARY:
