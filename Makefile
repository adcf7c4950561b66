# The front door for people who work on Sagebrush; ./demo and ./check are the one for everybody else.
.PHONY: all run test check demo fuzz torture bench fmt fresh install clean

all: ## sets the machine up and builds
	@tools/setup run build
	@tools/build

run: all ## a server in the foreground on a data directory of its own
	build/src/cmd/sagebrush up --data .cache/data

test: ## every fast test suite; SUITES="unit api" for some
	@tools/setup run build test
	@tools/build build
	@tools/build build-san -Db_sanitize=address,undefined -Db_lundef=false
	@tools/test $(SUITES)

check: ; @./check
demo: ; @./demo

fuzz: ## each fuzz target for SECONDS (600), JOBS (1) at a time, or NAMES="json xml"
	@tools/setup run build dev
	@tools/fuzz --seconds $(or $(SECONDS),600) --jobs $(or $(JOBS),1) $(NAMES)

torture: ## kill -9 of everything during JOBS (200) jobs and endpoints, spot interruptions, full disks; SEED=7 for another night
	@tools/setup run build test
	@tools/build build
	@.venv/bin/python3 tests/torture/kill.py --jobs $(or $(JOBS),200) --seed $(or $(SEED),1)
	@.venv/bin/python3 tests/torture/spot.py --seed $(or $(SEED),1)
	@.venv/bin/python3 tests/torture/full_disk.py --seed $(or $(SEED),1)

bench: ## us and peers, side by side in one run
	@tools/setup run build bench
	@tools/build build
	@bench/run $(NAMES)

fmt: ## formats the lines touched since the last commit
	@tools/fmt

fresh: ## ./demo and ./check in an empty Debian 12 root
	@tools/setup run build dev
	@tools/fresh

install: all ## to DESTDIR and the prefix that `meson configure` says
	meson install -C build --no-rebuild

clean:
	rm -rf build build-san build-fuzz .cache
