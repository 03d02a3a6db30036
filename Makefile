# Everything happens in .venv; `make PYTHON=python3.13 …` chooses the Python it is made with.
PYTHON ?= python3
BIN := .venv/bin
# What `make mutants` draws.
SIDE ?= engine
COUNT ?= 200
SEED ?= 1
TESTS = $(BIN)/python -m pytest -m 'not kernel and not package'
# These need no sockets, so they can run beside each other.
ENGINE := tests/engine tests/etsi tests/nplab
# This takes minutes with the pure engine; that both forms send the same is seen in test_forms.py.
ONE_FORM := --ignore=tests/engine/test_congestion.py
# What else runs with both forms of the engine; all the rest, with the compiled one.
BOTH_FORMS := tests/conformance tests/userland/test_interrupts.py tests/userland/test_costs.py
IN_GUEST := $(BIN)/python tools/with-kernel-sctp
# Output appears as it is written, through a pipe too.
export PYTHONUNBUFFERED := 1

.PHONY: help run test test-kernel test-here test-pure test-oldest-trio check docs package bench mutants \
  soak clean compiled compiler kernel-sctp peers

help:
	@echo 'make run     the demonstration, on the stack that works here;'
	@echo '             make run STACK=kernel, on a kernel with SCTP'
	@echo 'make test    all tests: those of every stack here, then the Linux kernel stack'
	@echo 'make test-oldest-trio'
	@echo '             those that need no kernel, on the oldest Trio that is promised'
	@echo 'make compiled'
	@echo '             the engine, compiled, in this tree; TRIO_SCTP_PURE=1 goes on running the pure one'
	@echo 'make check   lint, formatting, types, workflows, and what the changelog will say next'
	@echo 'make docs    the documentation, in docs/_build; every warning is an error;'
	@echo '             make docs SPHINXOPTS="--tag online" links to the sites of Python and Trio, too'
	@echo 'make package the distributions, in dist, and whether they can be installed'
	@echo 'make bench   the benchmarks, on this machine and on a kernel with SCTP;'
	@echo '             they write docs/speed.md'
	@echo 'make mutants how many changes to the engine its tests notice, of COUNT=200 drawn by SEED=1;'
	@echo '             make mutants SIDE=trio, of changes to the Trio side'
	@echo 'make soak    clients that come and go for MINUTES=60 over UDP: memory, and what is lost'
	@echo 'make clean   remove what these made'

ifeq ($(STACK),kernel)
run: .venv/ready kernel-sctp
	TRIO_SCTP_STACK=kernel $(IN_GUEST) $(BIN)/python -m examples.demo
else
run: .venv/ready
	TRIO_SCTP_STACK=$(STACK) $(BIN)/python -m examples.demo
endif

test: export TRIO_SCTP_REQUIRE_PEERS = 1
test: .venv/compiled kernel-sctp peers
	$(BIN)/python -m pip install --quiet --group examples --group docs
	$(TESTS) -n auto --junitxml=.venv/test-engine.xml $(ENGINE)
	TRIO_SCTP_PURE=1 $(TESTS) -n auto --junitxml=.venv/test-pure-engine.xml $(ENGINE) $(ONE_FORM)
	@echo 'Two at a time: on a kernel with SCTP, all else here, what runs with the pure engine too.'
	@echo 'Each is shown when it has ended, the first of them after some minutes.'
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-kernel test-here test-pure
	@$(BIN)/python -m tests.summary .venv/test-engine.xml .venv/test-here.xml \
	  .venv/test-pure-engine.xml .venv/test-pure.xml .venv/test-kernel.xml

# Parts of `make test`; the one that takes longest is the first.
test-kernel:
	TRIO_SCTP_REQUIRE_KERNEL=1 $(IN_GUEST) $(BIN)/python -m pytest -m kernel -p no:cacheprovider \
	  --junitxml=.venv/test-kernel.xml
test-here:
	$(TESTS) --junitxml=.venv/test-here.xml $(addprefix --ignore=,$(ENGINE))
test-pure:
	TRIO_SCTP_PURE=1 $(TESTS) --junitxml=.venv/test-pure.xml $(BOTH_FORMS)

OLDEST := .venv/oldest-trio/bin/python
test-oldest-trio: .venv/ready
	$(BIN)/python -m venv --clear .venv/oldest-trio
	$(OLDEST) -m pip install --quiet --upgrade 'pip>=25.1'
	$(OLDEST) -m pip install --quiet --editable . --group test --group bench \
	  "trio==$$(sed -n 's/.*"trio>=\([0-9.]*\)".*/\1/p' pyproject.toml).*"
	$(OLDEST) -m pytest -m 'not kernel and not package' tests/unit tests/userland tests/conformance tests/cli examples

check: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright
	PATH="$$PWD/$(BIN):$$PATH" pyright --verifytypes trio_sctp --ignoreexternal
	$(BIN)/zizmor --offline --quiet --min-severity=medium .github
	$(BIN)/check-jsonschema --builtin-schema=vendor.github-issue-forms .github/ISSUE_TEMPLATE/*.yml
	$(BIN)/towncrier build --draft --version=next

docs: .venv/ready
	$(BIN)/python -m pip install --quiet --group docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --fresh-env $(SPHINXOPTS) \
	  --doctree-dir .venv/doctrees docs docs/_build

package: .venv/ready compiler
	$(BIN)/python -m pip install --quiet --group package
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	TRIO_SCTP_DIST=dist $(BIN)/python -m pytest -m package -o faulthandler_timeout=600 tests/packaging

bench: .venv/compiled kernel-sctp
	$(BIN)/python -m benchmarks native --page
	$(BIN)/python -m pip install --quiet --group rivals
	TRIO_SCTP_PURE=1 $(BIN)/python -m benchmarks engine --page
	$(BIN)/python -m benchmarks udp --page
	$(BIN)/python -m benchmarks crowd --page
	$(BIN)/python -m benchmarks scale --page
	$(IN_GUEST) $(BIN)/python -m benchmarks kernel --page

mutants: .venv/ready
	$(BIN)/python -m pip install --quiet --group mutants
	TRIO_SCTP_PURE=1 $(BIN)/python tools/mutants.py $(SIDE) --count $(COUNT) --seed $(SEED)

soak: .venv/ready
	$(BIN)/python -m tools.soak $(MINUTES)

clean:
	rm -rf .venv dist docs/_build .hypothesis .mypy_cache .pytest_cache .ruff_cache trio_sctp/_engine/compiled
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'This needs Python 3.11 or later: make PYTHON=/path/to/it' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || \
	  tools/install-packages 'for a virtual environment' python3-venv
	$(PYTHON) -m venv .venv || \
	  { echo "$(PYTHON) cannot make one: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

compiled: .venv/compiled

.venv/compiled: .venv/ready tools/compile_engine.py $(wildcard trio_sctp/_engine/*.py)
	@$(MAKE) --no-print-directory compiler
	@echo 'Compiling the engine, which takes a minute'
	TRIO_SCTP_COMPILE=1 $(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

# A C compiler, and the headers of this Python if it is the system's.
compiler: .venv/ready
	@echo '#include <stdio.h>' | cc -x c -c -o /dev/null - 2> /dev/null || \
	  tools/install-packages 'to compile the engine' gcc: libc6-dev:
	@$(BIN)/python -c 'import pathlib, sys, sysconfig; \
	  sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' || \
	  tools/install-packages 'to compile the engine' python3-dev:

# A kernel with SCTP: the running one, or the means to run another.
kernel-sctp: .venv/ready
	@tools/install-packages 'to run a kernel that has SCTP' $$($(IN_GUEST) --missing)

# Other SCTP programs to test against, and aiortc.
peers: .venv/ready
	@$(BIN)/python -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("aiortc"))' || \
	  { echo 'Installing aiortc with pip, to test against its SCTP: 44 MB, most of it codecs' && \
	  $(BIN)/python -m pip install --quiet --group rivals; }
	@tools/install-packages 'to test against other SCTP programs' \
	  erlang-base:erl ncat socat iperf3 tshark iproute2:ip \
	  libusrsctp-examples:/usr/lib/usrsctp/client
