# make run     serve on http://127.0.0.1:8000 (HOST and PORT change that); make install: set up what that needs, only
# make test    run all tests; make test-fast: those that start no server
# make check   format, lint, types and the order of imports; make format: put the first two right
# make bench   print how well and how fast everything is (benchmarks/README.md); make bench-accuracy: one of the commands
#
# Each installs first what is missing. PYTHON=python3.13 and VENV=folder choose another interpreter and environment.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.SILENT:
.DEFAULT_GOAL := run
.PHONY: run install test test-fast check format bench clean

VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= python3.14 python3.13 python3.12 python3.11 python3

# mysqlclient comes as source only. Nobody has to have a compiler who does not use MySQL, so that it is installed where
# the configuration names one, and for the tests.
CONFIG := $(or $(TUNESCOUT_CONFIG),config.json)
USES_MYSQL := $(shell grep -ls '"mysql"' '$(CONFIG)')

run: install
	exec $(BIN)/python app.py

install: $(VENV)/installed $(if $(USES_MYSQL),$(VENV)/installed-mysql)

# Each file's tests run one after the other, those of different files beside each other.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test: $(VENV)/installed-dev
	$(PYTEST)

test-fast: $(VENV)/installed-dev
	$(PYTEST) -m "not server"

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

BENCHMARKS := accuracy calibration fingerprint_speed recognise load memory stores side_by_side bulk_upload outages

bench: $(VENV)/installed-dev
	for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name; done

bench-%: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.$*

clean:
	rm -rf $(VENV) .*_cache

$(VENV)/installed: requirements.txt
	$(environment)
	install_requirements requirements.txt
	touch $@

$(VENV)/installed-mysql: requirements-mysql.txt $(VENV)/installed
	$(environment)
	install_mysqlclient
	touch $@

$(VENV)/installed-dev: requirements.txt requirements-mysql.txt requirements-dev.txt
	$(environment)
	install_test_programs
	install_mysqlclient
	install_requirements requirements-dev.txt
	touch $@ $(VENV)/installed $(VENV)/installed-mysql

# What tests run, each with the packages it is in. Of MariaDB those that start no service.
TEST_PROGRAMS := ffmpeg:ffmpeg mariadbd:mariadb-server-core my_print_defaults:mariadb-client-core \
	redis-server:redis-server clickhouse-server:clickhouse-server chromium:chromium \
	nginx:nginx

# Shell that the recipes above begin with: the environment, made if need be by the newest Python there is.
define environment
install_packages() {
	local as_root=
	if [ "$$(id -u)" != 0 ]; then as_root="sudo -n"; fi
	if ! command -v apt-get >/dev/null || ! $$as_root true 2>/dev/null; then
		echo "Please install $$*, as with: sudo apt-get install $$*" >&2
		exit 1
	fi
	echo "Installing $$* ..."
	$$as_root apt-get update -qq
	$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-remove --no-install-recommends "$$@" >/dev/null
}
install_test_programs() {
	local missing=()
	for program in $(TEST_PROGRAMS); do
		if ! PATH="$$PATH:/usr/sbin" command -v "$${program%%:*}" >/dev/null; then missing+=("$${program##*:}"); fi
	done
	if [ "$${#missing[@]}" = 0 ] || (install_packages "$${missing[@]}"); then return; fi
	# Not every distribution has all of them; what is there is worth having.
	for package in "$${missing[@]}"; do
		(install_packages "$$package") || echo "Without $$package the tests that need it are skipped." >&2
	done
}
install_mysqlclient() {
	local missing=()
	if ! $(BIN)/python -c 'import MySQLdb' 2>/dev/null; then
		command -v cc >/dev/null || missing+=(build-essential)
		command -v pkg-config >/dev/null || missing+=(pkg-config)
		pkg-config --exists mysqlclient 2>/dev/null || pkg-config --exists libmariadb 2>/dev/null \
			|| missing+=(default-libmysqlclient-dev)
		$(BIN)/python -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_config_h_filename()))' \
			|| missing+=("$$($(BIN)/python -c 'import sys; print("python%d.%d-dev" % sys.version_info[:2])')")
		if [ "$${#missing[@]}" != 0 ]; then install_packages "$${missing[@]}"; fi
	fi
	install_requirements requirements-mysql.txt
}
install_requirements() {
	echo "Installing what $$1 names into $(VENV) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement "$$1"
}
find_python() {
	for python in $(PYTHON); do
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then return; fi
	done
	echo "Please install Python 3.11 or later, as with: sudo apt-get install python3 python3-venv" >&2
	exit 1
}
if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then
	find_python
	if ! "$$python" -c 'import ensurepip' 2>/dev/null; then
		install_packages "$$("$$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
	fi
	echo "Creating $(VENV) with $$("$$python" --version) ..."
	"$$python" -m venv --clear $(VENV)
fi
endef
