# Two commands for a fresh machine with the Rust toolchain: `make demo` and `make test`.

.PHONY: demo test check bench bench-copy bench-evidence bench-ledger chaos fmt help

# What scripts/compose-v2 got for the tests serves the demo too.
COMPOSE = target/tools/compose-v2/docker-compose

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

demo: ## The main job: in containers where an engine, Compose 2 and nginx are there, else as child processes
	@scripts/setup demo
	@cargo build --quiet --bin sealift
	@if [ -z "$$SEALIFT_DEMO_COMPOSE" ] && [ -x $(COMPOSE) ]; then export SEALIFT_DEMO_COMPOSE=$(COMPOSE); fi; \
	target/debug/sealift demo $(ARGS)

test: ## Format, lints and every test, with all set-up
	@scripts/setup test
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	@scripts/test

check: ## Format, lints, and the dependency policy where cargo-deny is installed
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check bans licenses sources; \
	else echo "cargo-deny is not installed: cargo install cargo-deny --locked"; fi

bench: ## Figures of the main paths, as a table
	@scripts/setup test
	@scripts/with-engine cargo bench --quiet --bench roads -- $(ARGS)

bench-copy: ## `sealift copy` beside skopeo and others, on real registries; ARGS="--quick", "--case NAME", "--huge"
	@scripts/setup test
	@cargo bench --quiet -p sealift --bench copies -- $(ARGS)

bench-evidence: ## What judging a release with all gates takes, beside the least reading of the same bytes
	@cargo bench --quiet -p sealift --bench evidence
	@cargo bench --quiet -p sealift-evidence --bench documents

bench-ledger: ## What the log on a branch costs, beside plain git on the same repository; ARGS=--quick
	@cargo bench --quiet -p sealift-store --bench branch -- $(ARGS)

chaos: ## The long forms: every kill point and every push, 10,000 requests, a release that dies after a minute, 10,000 edits of a log
	@scripts/setup test
	@SEALIFT_LONG=1 SEALIFT_REQUIRE_REAL=1 scripts/with-engine cargo test -p sealift --test it -- --nocapture workflow::kill workflow::traffic ledger::broken
	@SEALIFT_LONG=1 cargo test -p sealift-store --test tamper

fmt: ## Format
	cargo fmt --all
