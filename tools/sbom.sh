#!/bin/bash
#
# sbom.sh [LIBRARY]
#   A software bill of materials of the library, as CycloneDX 1.5 in JSON, on stdout:
#   what it is linked with, found in the library itself, and the headers it is compiled
#   with, from which code comes (xxHash: functions that choose at run time, if the
#   library has none).  Versions are those of Debian's packages; where a file belongs to none,
#   it is named without.
#
#   LIBRARY   (default kyrodb.so, as `make` leaves it)

set -eu -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

library=${1:-$ROOT/kyrodb.so}
[ -e "$library" ] || die "no library $library: run make"

# lines of: scope, file or soname, package, version, how
components() {
  local file package

  readelf -dW "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | while read -r soname; do
    file=$(ldd "$library" | awk -v s="$soname" '$1 == s { print $3 }')
    # /lib may be a link to /usr/lib, and the package say either
    package=$({ dpkg -S "$(readlink -f "$file")" || dpkg -S "$file" || dpkg -S "${file#/usr}"; } 2>/dev/null | head -n 1 | sed 's/:.*//') || true
    printf 'required\t%s\t%s\t%s\tdynamically linked\n' "$soname" "$package" "$([ -z "$package" ] || dpkg-query -W -f '${Version}' "$package" | head -n 1)"
  done
  for file in xxhash.h xxh_x86dispatch.h; do
    [ -e "/usr/include/$file" ] || continue
    package=$(dpkg -S "/usr/include/$file" 2>/dev/null | head -n 1 | sed 's/:.*//') || true
    printf 'required\t%s\t%s\t%s\theader\n' "$file" "$package" "$([ -z "$package" ] || dpkg-query -W -f '${Version}' "$package" | head -n 1)"
  done
}

components | VERSION=$(version_of_control) HASH=$(sha256sum "$library" | cut -d' ' -f1) EPOCH=${SOURCE_DATE_EPOCH:-$(date +%s)} python3 -c '
import json, os, sys, time

found = []
for line in sys.stdin:
    scope, file, package, version, how = line.rstrip("\n").split("\t")
    c = {"type": "library" if how != "header" else "file", "name": package or file, "scope": scope,
         "properties": [{"name": "kyrodb:file", "value": file}, {"name": "kyrodb:how", "value": how}]}
    if version:
        c["version"] = version
        c["purl"] = "pkg:deb/debian/%s@%s" % (package, version.replace("+", "%2B").replace(":", "%3A"))
    c["bom-ref"] = "%s#%s" % (c.get("purl", c["name"]), file)
    found.append(c)
me = "pkg:generic/kyrodb@" + os.environ["VERSION"]
json.dump({
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "version": 1,
    "metadata": {
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(os.environ["EPOCH"]))),
        "component": {"type": "library", "bom-ref": me, "name": "kyrodb", "version": os.environ["VERSION"], "purl": me,
                      "licenses": [{"license": {"id": "Apache-2.0"}}],
                      "hashes": [{"alg": "SHA-256", "content": os.environ["HASH"]}]}},
    "components": found,
    "dependencies": [{"ref": me, "dependsOn": sorted(c["bom-ref"] for c in found)}],
}, sys.stdout, indent=2)
print()
'
