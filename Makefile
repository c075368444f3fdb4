# The targets of the project.
#
# This file needs nothing but make, so that `make check` and `make demo` can
# start on a machine that has no PostgreSQL yet; building is in Makefile.pgxs.
#
#   make check        install what is missing, build, run every test
#   make check-app    the page of demo/app in a real Chromium (installs it and Node)
#   make check-core   run PostgreSQL's own tests with kyro tables and indexes (fetches its source)
#   make check-backups   pgBackRest, Barman, PgBouncer, pg_partman (installs them)
#   make check-day    a day in the life: load, drift, crash, metrics, promotion, upgrade (in a small Debian of its own, as check-17)
#   make check-deb    Debian packages: built, checked by lintian, installed in a fresh Debian and removed (needs root)
#   make check-gateway   the gateway, before real clusters (installs Node if there is none, and its packages)
#   make check-image  the image of the Dockerfile: built and run, by buildah on a fresh Debian (needs root)
#   make check-metrics   the metrics with a real Prometheus (installs it and its exporter)
#   make check-pgxn   PGXN's client installs and removes it from a zip (installs the client)
#   make check-backups-17, check-backups-18, check-deb-17, check-deb-18   the same on PostgreSQL 17 or 18, as check-17
#   make check-17, check-18   all tests on PostgreSQL 17 or 18, in a small Debian of its own (fetches it)
#   make check-upgrade   pg_upgrade from PostgreSQL 15 to 17 to 18, there too
#   make check-valgrind   run a part of the tests under valgrind's memcheck (builds a server once)
#   make check-asan      run them with the address and undefined-behaviour sanitizers (builds a server once)
#   make static       look at the source: headers, cppcheck, clang's analyzer
#   make indent       format the C files as pgindent does (installs pg-bsd-indent)
#   make check-load   the tests under load, for longer (see tools/longrun.sh)
#   make crashloop    kill a loaded server 500 times (see tools/longrun.sh)
#   make soak         100 million random row operations, compared with a btree (see tools/longrun.sh)
#   make fuzz         run the fuzzers for a while (see tools/fuzz.sh)
#   make fuzz-sql     random SQL, compared with heaps and btrees, until stopped (see tools/longrun.sh)
#   make demo         install what is missing, build, show it on real data
#   make gateway      start the HTTP gateway beside the demo's cluster, and show how to call it
#   make demo-stop    stop and remove the cluster that `make demo` left, and the gateway
#   make bench        measure a small subset of the benchmarks, in less than ten minutes
#   make bench-plots  draw the results that are in bench/results (installs gnuplot)
#
#   make              build the extension (needs the server's headers)
#   make sbom         what the library is linked with, as CycloneDX in JSON
#   make install      install it into the PostgreSQL of PG_CONFIG
#   make installcheck regression tests and isolation tests on a running server
#   make clean        remove what a build left
#
# Variables: PG_CONFIG=path, OPTFLAGS=-O2, ASSERTS=1, SANITIZE=undefined,
# for check also JOBS=n, PARTS="unit regress ..." and KEEP=1.

PGXS_TARGETS = all install uninstall installdirs installcheck clean distclean

.PHONY: $(PGXS_TARGETS) check check-17 check-18 check-app check-asan check-backups check-backups-17 check-backups-18 check-core check-day check-deb check-deb-17 check-deb-18 check-gateway check-image check-load check-metrics check-pgxn check-upgrade check-valgrind crashloop \
	fuzz fuzz-sql indent soak static bench bench-plots demo demo-stop gateway verify-version META.json sbom

all:

# Variables given on the command line or in the environment reach these too.
$(PGXS_TARGETS):
	@$(MAKE) --no-print-directory -f Makefile.pgxs $@

check:
	@tools/check.sh

check-load:
	@tools/longrun.sh tests

crashloop:
	@tools/longrun.sh crashes

soak:
	@tools/longrun.sh operations

fuzz:
	@tools/fuzz.sh

fuzz-sql:
	@tools/longrun.sh statements

static:
	@tools/static.sh

indent:
	@tools/setup.sh indent
	@tools/indent.pl

check-core:
	@tools/check-core.sh

check-deb:
	@tools/check-deb.sh

# its mounts go with those of the root
check-deb-17 check-deb-18:
	@tools/in-root.sh $(@:check-deb-%=%) env KYRO_IN_NAMESPACE=1 tools/check-deb.sh

sbom: all
	@tools/sbom.sh

BACKUPS = tools/setup.sh backups && KYRO_BACKUPS=1 PARTS=tap TESTS="both_pgbackrest both_barman both_pgbouncer both_partman" tools/check.sh

check-backups:
	@$(BACKUPS)

check-backups-17 check-backups-18:
	@tools/in-root.sh $(@:check-backups-%=%) sh -c '$(BACKUPS)'

check-app:
	@tools/check-gateway.sh app

check-gateway:
	@tools/check-gateway.sh

check-day:
	@tools/in-root.sh 17 sh -ec 'tools/setup.sh day; export KYRO_DAY=1 UPGRADE_TEST=test/t/worker_day.pl; exec tools/check-upgrade.sh'

check-image:
	@tools/check-image.sh

check-pgxn:
	@tools/check-pgxn.sh

check-metrics:
	@tools/setup.sh metrics
	@KYRO_METRICS=1 PARTS=tap TESTS=worker_metrics tools/check.sh

check-17 check-18:
	@tools/in-root.sh $(@:check-%=%) tools/check.sh

check-upgrade:
	@tools/in-root.sh 18 tools/check-upgrade.sh

check-valgrind check-asan:
	@tools/check-memory.sh $(@:check-%=%)

demo:
	@tools/demo.sh

gateway:
	@tools/gateway.sh

demo-stop:
	@tools/gateway.sh stop
	@tools/demo.sh stop

bench:
	@bench/quick.sh

bench-plots:
	@tools/setup.sh plots
	@bench/plot.py bench/results/index-*.csv

# kyrodb.control is the one place of the version; META.json repeats it.
VERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" kyrodb.control)

META.json:
	sed -i '/"meta-spec"/,$$!s/"version": "[^"]*"/"version": "$(VERSION)"/' $@

verify-version:
	@tools/verify-version.sh
