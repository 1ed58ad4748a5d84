# Two commands: `make demo` and `make test`. Neither needs anything but cargo; the rest is found or fetched.

.PHONY: help demo demo-train test old bench chaos safeguards dev openapi page

# The line before each target says what it does.
help:
	@awk '/^# /{said=substr($$0,3)} /^[a-z-]+:/&&$$1!="help:"{printf "make %-12s%s\n",substr($$1,1,length($$1)-1),said}' Makefile

# Shows everything: private servers, three real models, the photographs of examples/photos; stays up until Ctrl-C.
demo:
	@echo "building…"
	@mkdir -p .darkroom; { test -x .darkroom/venv/bin/pip || python3 -m venv .darkroom/venv; } >/dev/null 2>&1 \
	  && .darkroom/venv/bin/pip install -q --disable-pip-version-check --require-hashes --only-binary=:all: \
	     $(foreach model,face_detect image_stats image_hash,-r examples/$(model)/requirements.txt) >/dev/null 2>&1 & \
	cargo build; built=$$?; wait; test $$built -eq 0
	cargo run --quiet -- demo

# Trains on digits, makes the result a version of a model, and has that read what was held out; stays up until Ctrl-C.
demo-train:
	cargo run --quiet -- demo --train

# Tests at once: most wait rather than compute.
TEST_THREADS ?= 4
# Checks format and lints, runs every test on private servers, then two minutes of chaos.
test:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	RUST_TEST_THREADS=$(TEST_THREADS) cargo test
	@cat target/postman.txt target/crates.txt target/requests.txt target/python.txt target/page.txt
	DURATION=120 LEASE_S=2 cargo test --test chaos

DURATION ?= 900
LEASE_S ?= 6
# Injures a whole installation for DURATION seconds and compares everybody's books; SEED repeats the order of faults, KEEP=1 keeps the logs.
chaos:
	DURATION=$(DURATION) LEASE_S=$(LEASE_S) cargo test --test chaos

# What each page costs on a history of three years: OLD images, six requests for each. Takes some minutes and 5 GB under /var/tmp.
OLD ?= 1000000
old:
	OLD=$(OLD) cargo test --test it -- old:: --nocapture

# ONLY=lifecycle,lookup measures some of it; PROFILE=1 shows the costliest statements; SHORT=1 only shows that everything runs.
# Measures everything in turns, and writes target/bench/latest.json; ONLY=page writes docs/benchmarks.md from it.
bench:
	cargo bench --bench load $(if $(SHORT),--profile dev) -- $(ONLY)

# Removes one safeguard after another in a copy, and names the tests that notice; the committed state is tried.
safeguards:
	tests/safeguards/run

# Runs private servers, a server that restarts when its code changes, and MODEL, a .py file that loads again when it changes.
dev:
	cargo run -- dev $(if $(MODEL),--model $(MODEL))

# Builds the page for people anew: ui/built is committed, so that the program needs no Node to build.
page:
	cd ui && npm ci --silent --no-audit --no-fund --ignore-scripts && npm run --silent build

# Writes the document that a test holds the code to.
openapi:
	cargo run --quiet -- openapi > openapi/openapi.json
