# The verbs of this tree. `make help` lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run check test package vm bench fuzz

LISTEN ?= 127.0.0.1:8090
FUZZ_SECONDS ?= 300

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## install what is missing, build, and run examples/blog on $(LISTEN)
	@packaging/prerequisites.sh
	cargo build --workspace --bins
	target/debug/alyx dev examples/blog --listen $(LISTEN)

check: ## format, clippy, tidy and unit tests; before every commit
	@tests/suites.sh check

test: ## everything that this machine can run; what CI runs
	@packaging/prerequisites.sh tests
	@packaging/prerequisites.sh vm || true
	@tests/suites.sh all

package: ## build the Debian package and the rpm into target/package
	@packaging/prerequisites.sh package
	@packaging/build.sh

vm: ## what needs systemd and cgroup v2, in an emulated Debian; root only
	@packaging/prerequisites.sh vm
	cargo build --workspace --bins
	cargo test -p alyx-tests --test vm -- --test-threads=1

bench: ## measure, print a table and write target/bench/report.json
	@packaging/prerequisites.sh
	cargo build --release --workspace --bins
	target/release/alyx-bench

fuzz: ## run every fuzz target for FUZZ_SECONDS, guided by coverage
	@packaging/prerequisites.sh tests
	tests/fuzz/run.sh $(FUZZ_SECONDS)
