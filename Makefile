# What one does with this project, by name. All of it is thin: the work is in
# CMakeLists.txt, CMakePresets.json and the scripts that are called here.
# GNU make; on FreeBSD that is gmake.

N ?= 10000
NN ?= 06
DEST ?= build/stage-$(NN)
CHAPTERS = $(patsubst chapters/%/comet.cpp,%,$(wildcard chapters/*/comet.cpp))
BIN = build/bin
ROUNDS ?= 20
FUZZ_SECONDS ?= 60
FILES ?= src/*.cpp chapters/*.cpp
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
PYTHON := $(firstword $(wildcard /usr/bin/python3) python3)

.PHONY: help run test budget setup doctor step steps stage stages asan tsan clang \
        clang-asan libcxx select ucontext kqueue test-aarch64 faults fuzz valgrind \
        mutants simulate soak bench docs epub pdf check-docs listings measure \
        check-results bill peers wrk plots traces exhibits format lint clean
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

help:
	@echo 'make run            builds and runs the book'"'"'s run: 10,000 clients'
	@echo 'make test           builds everything and runs the tests'
	@echo 'make budget         looks whether a client costs more than it may, in counts'
	@echo 'make setup          installs what run and test need'
	@echo 'make doctor         prints the limits of this machine'
	@echo 'make step NN=03     puts you at a step of the small version (STEP=4, DEST=folder)'
	@echo 'make steps          builds each step of the small version, and runs its demos'
	@echo 'make stage NN=03    exports the small version of a chapter with its tests (DEST=folder)'
	@echo 'make stages         exports, builds and tests the stages of all chapters;'
	@echo '                    STAGES="03 04" for some'
	@echo 'make asan           the tests, under AddressSanitizer and UBSan'
	@echo 'make tsan           the tests with threads, under ThreadSanitizer'
	@echo 'make clang          the tests, built by clang; make clang-asan: the same under ASan'
	@echo 'make libcxx         the tests, built by clang with libc++, as on macOS and FreeBSD'
	@echo 'make select         the tests, with the poller on select(2)'
	@echo 'make ucontext       the tests, with the switch by ucontext(3)'
	@echo 'make kqueue         the tests, with the poller on kqueue(2)'
	@echo 'make test-aarch64   the tests, built for 64-bit ARM, run by qemu'
	@echo 'make fuzz           looks for bytes that break it; FUZZ_SECONDS=3600 for longer'
	@echo 'make valgrind       the test programs, under memcheck'
	@echo 'make soak           rounds of 2,000 waiters that leave; ROUNDS=100 for more'
	@echo 'make simulate       a million seeds, all schedules, a million clients, in the simulated kernel'
	@echo 'make faults         the tests with faults of the real kernel, 200 seeds of each'
	@echo 'make bench          measures what a switch costs, a hand-off, a timer'
	@echo 'make mutants        plants mistakes and looks whether the tests notice; ONLY=name,'
	@echo '                    PART=1/4, SINCE=revision for those that changes concern'
	@echo 'make docs           builds the book: build/docs/html/index.html; make epub, make pdf'
	@echo 'make check-docs     looks at the built book: words, links, colours, pages in Chromium'
	@echo 'make listings       refreshes the listings in the pages'
	@echo 'make measure        refreshes the results in chapters/*/run.json'
	@echo 'make exhibits       runs the wrong programs and keeps what they print'
	@echo 'make bill           measures the small version, the library, the peers; ten minutes'
	@echo 'make peers          builds and runs the same run in other languages'
	@echo 'make wrk            measures it under wrk, beside nginx and others; two minutes'
	@echo 'make plots          draws the results again'
	@echo 'make traces         records small runs and draws their timelines'
	@echo 'make check-results  compares their counts with those of new runs'
	@echo 'make format         lays out all C++ files'
	@echo 'make lint           looks at their layout, and at all that compiles with'
	@echo '                    clang-tidy; only at some with FILES="chapters/03*.cpp"'
	@echo 'make clean          removes build/'

setup:
	@.ci/setup.sh run test

# A first configuration does without the tests, and so without their needs.
.PHONY: programs
programs:
	@.ci/setup.sh run
	@[ -f build/CMakeCache.txt ] || cmake --preset release -DNAGLFAR_TESTS=OFF
	@cmake --build build --parallel $(JOBS) --target comet-06 comet-server doctor

# Where one process cannot hold both ends of N connections, there are two
# runs: the largest that it can hold, and N with the clients in a child.
run: programs
	@largest=$$($(BIN)/doctor --largest); \
	if [ "$$largest" -ge $(N) ]; then exec $(BIN)/comet-06 $(N); fi; \
	echo "$(N) clients in one process need more descriptors than the hard"; \
	echo "limit here allows, $$(ulimit -Hn) (see make doctor). So there are two runs:"; \
	echo "first the largest that one process can hold, $$largest clients; then"; \
	echo "$(N), with the clients in a process of their own."; \
	echo; \
	echo "\$$ comet-06 $$largest"; \
	$(BIN)/comet-06 $$largest && \
	echo && \
	echo "\$$ comet-06 $(N) --clients-in-child" && \
	$(BIN)/comet-06 $(N) --clients-in-child

doctor: programs
	@$(BIN)/doctor

test:
	@.ci/setup.sh run test
	@$(call suite,release)

budget:
	@.ci/setup.sh run test
	@$(call suite,release,--target programs,-L budget)

# suite: configure, build and test one preset. More arguments: for the build,
# and for ctest.
suite = cmake --preset $(1) && \
        cmake --build --preset $(1) --parallel $(JOBS) $(2) && \
        ctest --preset $(1) $(3)

asan:
	@.ci/setup.sh run test
	@$(call suite,asan)

# The programs, and the tests of whatever has threads.
THREADED = $(patsubst tests/%.cpp,%,$(wildcard $(addprefix tests/test_, \
             sys.cpp waiters.cpp server.cpp mixins.cpp)))
tsan:
	@.ci/setup.sh run test
	@$(call suite,tsan,--target programs $(THREADED),-R '^(sys|waiters|server|mixins|programs):')

clang clang-asan:
	@.ci/setup.sh run test clang
	@$(call suite,$@)

libcxx:
	@.ci/setup.sh run test libcxx
	@$(call suite,$@)

select ucontext kqueue:
	@.ci/setup.sh run test
	@$(call suite,$@)

test-aarch64:
	@if .ci/setup.sh --dry-run aarch64 2> /dev/null; then \
	  $(call suite,aarch64); \
	else echo "test-aarch64: skipped, there is no cross compiler (.ci/setup.sh aarch64)"; fi

fuzz:
	@if .ci/setup.sh --dry-run run clang fuzz 2> /dev/null; then \
	  cmake --preset fuzz && \
	  cmake --build --preset fuzz --parallel $(JOBS) && \
	  tests/fuzz/run.sh $(FUZZ_SECONDS); \
	else echo "fuzz: skipped, there is no clang with libFuzzer (.ci/setup.sh clang fuzz)"; fi

valgrind:
	@if .ci/setup.sh --dry-run run test valgrind 2> /dev/null; then \
	  cmake --preset release && \
	  cmake --build build --parallel $(JOBS) && \
	  tests/valgrind.sh build/bin; \
	else echo "valgrind: skipped, it is not installed (.ci/setup.sh valgrind)"; fi

soak:
	@.ci/setup.sh run test
	@cmake --preset release > /dev/null
	@cmake --build build --parallel $(JOBS) --target soak
	@$(BIN)/soak $(ROUNDS) 2000

simulate:
	@.ci/setup.sh run test
	@cmake --preset release > /dev/null
	@cmake --build build --parallel $(JOBS) --target simulate small_simulate
	@$(BIN)/simulate --seeds 1..1000000
	@$(BIN)/simulate --explore
	@$(BIN)/small_simulate --seeds 1..100000
	@$(BIN)/small_simulate --explore
	@for n in 1000 10000 100000 1000000; do $(BIN)/simulate --comet $$n; done

mutants:
	@.ci/setup.sh run test
	@$(PYTHON) -B tests/mutants/run.py --jobs $(JOBS) \
	  $(addprefix --only ,$(ONLY)) $(addprefix --part ,$(PART)) \
	  $(addprefix --since ,$(SINCE))

faults:
	@.ci/setup.sh run test
	@cmake --preset release -DNAGLFAR_FAULT_SEEDS=200 > /dev/null
	@cmake --build build --parallel $(JOBS)
	@ctest --preset release -L faults --timeout 3600; status=$$?; \
	cmake --preset release -DNAGLFAR_FAULT_SEEDS=10 > /dev/null; exit $$status

# With each switch, to compare them.
bench:
	@.ci/setup.sh run
	@if .ci/setup.sh bench 2> /dev/null; then \
	  for preset in release ucontext; do \
	    tree=build/$$preset; [ $$preset = release ] && tree=build; \
	    if [ -f $$tree/CMakeCache.txt ]; then cmake $$tree; \
	    else cmake --preset $$preset -DNAGLFAR_TESTS=OFF; fi > /dev/null && \
	    cmake --build $$tree --parallel $(JOBS) --target bench comet-00 || exit 1; \
	  done; \
	  $(PYTHON) -B .ci/bench.py; \
	else echo "bench: skipped, there is no Google Benchmark (.ci/setup.sh bench)"; fi

step:
	@$(PYTHON) -B chapters/steps.py extract $(NN) $(if $(STEP),--step $(STEP)) \
	  "$(if $(findstring command,$(origin DEST)),$(DEST),build/step-$(NN)-$(or $(STEP),end))"

steps:
	@cmake --preset release > /dev/null && \
	cmake --build --preset release --parallel $(JOBS) --target naglfar_sys naglfar_headers > /dev/null && \
	$(PYTHON) -B chapters/steps.py form && \
	$(PYTHON) -B chapters/steps.py run

stage:
	@$(PYTHON) -B tests/stage/export.py $(NN) "$(DEST)"

stages:
	@.ci/setup.sh run test
	@tests/stage/all.sh $(STAGES)

docs:
	@.ci/setup.sh docs
	@docs/build.sh build html epub

epub:
	@.ci/setup.sh docs
	@docs/build.sh build epub

pdf:
	@if .ci/setup.sh --dry-run docs pdf 2> /dev/null; then \
	  docs/build.sh build pdf; \
	else echo "pdf: skipped, there is no XeTeX with its packages (.ci/setup.sh docs pdf)"; fi

# Of the book that is built, or of a new one. Without a browser, or a speller,
# the tests that need it are left out, and one line says so.
check-docs:
	@.ci/setup.sh docs
	@[ -f build/docs/html/index.html ] && [ -f build/docs/epub/naglfar.epub ] || \
	  docs/build.sh build html epub
	@.ci/setup.sh --dry-run pages 2> /dev/null || \
	  echo "check-docs: some tests are skipped, they lack a program (.ci/setup.sh pages)"
	@$(PYTHON) -B tests/docs/test_site.py build

listings:
	@$(PYTHON) docs/listings.py refresh
	@$(PYTHON) -B docs/figures.py refresh
	@$(PYTHON) -B docs/stages.py refresh
	@$(PYTHON) -B docs/bibliography.py refresh

# The largest run that one process holds, of 10,000 at most.
measure: programs-of-results
	@$(PYTHON) -B .ci/results.py measure $(CHAPTERS) 08-the-bill

exhibits:
	@.ci/setup.sh run test
	@cmake --preset release > /dev/null
	@cmake --build build --parallel $(JOBS) --target exhibits
	@$(PYTHON) -B tests/exhibits/run.py --keep $(BIN)

check-results: programs-of-results
	@$(PYTHON) -B .ci/results.py check $(CHAPTERS) 08-the-bill

.PHONY: programs-of-results
programs-of-results:
	@.ci/setup.sh run test
	@for preset in release ucontext; do \
	  cmake --preset $$preset > /dev/null && \
	  cmake --build --preset $$preset --parallel $(JOBS) --target programs || exit 1; \
	done

# The peers are welcome and not needed.
.PHONY: bill-programs
bill-programs: programs-of-results
	@.ci/setup.sh peers || true
	@cmake --build build --parallel $(JOBS) --target simulate

bill: bill-programs
	@$(PYTHON) -B chapters/08-the-bill/bill.py
	@$(MAKE) plots listings

peers: bill-programs
	@$(PYTHON) -B chapters/08-the-bill/bill.py peers

wrk:
	@.ci/setup.sh run
	@.ci/setup.sh wrk || true
	@cmake --preset release > /dev/null
	@cmake --build build --parallel $(JOBS) --target comet-00 keep-alive-server
	@$(PYTHON) -B chapters/08-the-bill/wrk.py

plots:
	@$(PYTHON) -B docs/plots.py

traces:
	@.ci/setup.sh run test
	@cmake --preset release > /dev/null
	@cmake --build build --parallel $(JOBS) --target recorded
	@$(PYTHON) -B docs/traces.py record $(BIN)

# In the small version, markers are in the way: `make steps` looks at each step.
FORMATTED = '*.cpp' '*.hpp' '*.h' ':!chapters/*/small/*'

format:
	@.ci/setup.sh lint
	@git ls-files -co --exclude-standard $(FORMATTED) | xargs clang-format-14 -i

# Several programs share a file, and clang-tidy would look at it for each. It
# looks at a test with the library, and at a chapter's run with the small version.
ONCE = import json; \
  commands = json.load(open("build/compile_commands.json")); \
  once = {command["file"]: command for command in commands \
          if "-DNAGLFAR_SMALL" not in command["command"] \
          and "library-0" not in command["command"]}; \
  json.dump(list(once.values()), open("build/lint/compile_commands.json", "w"))

lint:
	@.ci/setup.sh run test lint bench
	@git ls-files -co --exclude-standard $(FORMATTED) | \
	  xargs clang-format-14 --dry-run -Werror
	@cmake --preset release > /dev/null
	@mkdir -p build/lint
	@$(PYTHON) -c '$(ONCE)'
	@git ls-files -co --exclude-standard $(foreach part,$(FILES),'$(part)') | \
	  grep -v -e poller/kqueue -e poller/select -e switch_ucontext -e /peers/ -e /steps/ | \
	  xargs -P $(JOBS) -n 3 clang-tidy-14 --quiet -p build/lint

clean:
	rm -rf build
