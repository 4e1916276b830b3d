#!/bin/sh
# Installs the emulators of AWS that the tests run against, at pinned versions: moto and MiniStack (Python), and
# kinesis-local (Node).
#
#   tests/emulators/setup.sh [FOLDER]     default: $KINESIS_AUTOSCALER_TESTS_EMULATORS, else target/emulators
#
# Does nothing when the same pins are installed there already. Prints the folder.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-${KINESIS_AUTOSCALER_TESTS_EMULATORS:-$here/../../target/emulators}}

fail() {
    printf 'error: %s\nhint: %s\n' "$1" \
        "$2, or set KINESIS_AUTOSCALER_TESTS_WITHOUT_EMULATORS=1 to test without third-party emulators" >&2
    exit 1
}

mkdir -p "$folder" 2>/dev/null || fail "cannot make the folder $folder" "name another one as the first argument"
folder=$(cd "$folder" && pwd)
stamp=$folder/installed

# Test processes may start together: one installs, the others wait and find it done.
if command -v flock >/dev/null 2>&1; then
    exec 9>"$folder/lock"
    flock 9
fi

pins=$(cat "$here/requirements.txt" "$here/requirements-ministack.txt" "$here/package-lock.json" "$here/setup.sh" | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$pins" ] && "$folder/venv/bin/python" -c '' 2>/dev/null &&
    "$folder/ministack/bin/python" -c '' 2>/dev/null; then
    printf '%s\n' "$folder"
    exit 0
fi

command -v python3 >/dev/null 2>&1 || fail "python3 is missing" "install Python 3.11 or newer"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$(python3 --version) is too old for the pinned moto" "install Python 3.11 or newer"
python3 -c 'import ensurepip, venv' 2>/dev/null ||
    fail "python3 has no venv module" "install it (Debian, Ubuntu: apt-get install python3-venv)"
command -v node >/dev/null 2>&1 || fail "node is missing" "install Node.js 18 or newer with npm"
command -v npm >/dev/null 2>&1 || fail "npm is missing" "install it (it comes with Node.js)"

rm -rf "$stamp" "$folder/venv" "$folder/ministack" "$folder/node"
log=$folder/setup.log
: >"$log"

# install_python NAME ENVIRONMENT PINS
install_python() {
    python3 -m venv "$folder/$2" >>"$log" 2>&1 &&
        "$folder/$2/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/$3" >>"$log" 2>&1 ||
        { cat "$log" >&2; fail "$1 could not be installed" "read pip's message above (also in $log)"; }
}
install_python moto venv requirements.txt
install_python MiniStack ministack requirements-ministack.txt

mkdir "$folder/node"
cp "$here/package.json" "$here/package-lock.json" "$folder/node/"
(cd "$folder/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >>"$log" 2>&1 ||
    { cat "$log" >&2; fail "kinesis-local could not be installed" "read npm's message above (also in $log)"; }

printf '%s\n' "$pins" >"$stamp"
printf '%s\n' "$folder"
