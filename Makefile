# The front door. The build itself is Meson's (meson.build); a bare `make` lists what there is.

PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: help demo test build asan tsan arm bench experiments fuzz check format install clean

help:
	@echo "weir: language models over endless text in constant memory"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: ## install what is missing, build, and show the main job on the shipped model
	@./scripts/demo

test: ## install what is missing, build, and run every test and check
	@./scripts/test

build: build/build.ninja ## the program build/weir and the libraries
	@ninja -C build

asan: build-asan/build.ninja ## the tests under the address and undefined-behaviour sanitizers
	@meson test -C build-asan --no-suite endless --timeout-multiplier 5 --print-errorlogs

tsan: build-tsan/build.ninja ## the tests under the thread sanitizer
	@meson test -C build-tsan --no-suite endless --no-suite golden --timeout-multiplier 10 \
	    --print-errorlogs

arm: ## the engine for 64-bit ARM and the tests of its kernels, under qemu
	@./scripts/test-arm

bench: build/build.ninja ## the programs in bench/: measure speed
	@meson test -C build --benchmark --verbose

experiments: build ## every figure and result of docs/experiments again
	@./scripts/experiments

fuzz: build-fuzz/build.ninja ## every fuzz target for FUZZ_SECONDS (60) each; needs clang
	@ninja -C build-fuzz fuzz-targets
	@./scripts/fuzz build-fuzz $(FUZZ_SECONDS)

check: build ## layers, symbols, public headers, format, scripts; the longest functions
	@./scripts/check

format: ## lay out every C file by .clang-format
	@./scripts/c-files | xargs clang-format-14 -i

install: build/build.ninja ## PREFIX (/usr/local) and DESTDIR are honoured
	@meson configure build --prefix $(abspath $(PREFIX))
	@ninja -C build
	@DESTDIR=$(DESTDIR) meson install -C build --no-rebuild

clean: ## remove every build folder
	rm -rf build build-asan build-tsan build-fuzz build-arm

build/build.ninja:
	@meson setup build

build-asan/build.ninja:
	@meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false

build-tsan/build.ninja:
	@meson setup build-tsan -Db_sanitize=thread -Db_lundef=false

build-fuzz/build.ninja:
	@CC=clang meson setup build-fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false
