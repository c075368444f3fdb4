#!/bin/bash
#
# verify-version.sh
#   kyrodb.control is the one place of the version.  META.json repeats it and
#   the change log has an entry for it; nothing else may spell it out.

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT"

version=$(version_of_control)
[ -n "$version" ] || die "no default_version in kyrodb.control"
bad=0

for found in $(sed -n '/"meta-spec"/,$d; s/.*"version": "\(.*\)".*/\1/p' META.json); do
  [ "$found" = "$version" ] ||
    { say "META.json says $found, kyrodb.control $version: run make META.json"; bad=1; }
done

grep -q "^## $version " CHANGELOG.md ||
  { say "CHANGELOG.md has no entry for $version"; bad=1; }

if grep -rnF "$version" Makefile Makefile.pgxs README.md CONTRIBUTING.md docs sql/kyrodb.sql src tools demo .ci .github \
    --include='*' --exclude='*.o' --exclude='verify-version.sh'; then
  say "the version is spelled out in the files above"
  bad=1
fi

exit $bad
