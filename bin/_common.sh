# Sourced by the scripts in bin/: finds a Python and makes the environments they run in.
set -euo pipefail

# allows http://localhost as instance URL
export SOURCE_COUPA_SANDBOX=1

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# find_python NEWEST: prints a Python from 3.10 to 3.NEWEST: $PYTHON if set, else the first one that runs.
find_python() {
    local newest="$1" candidate
    local suits="import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, $newest))"
    if [ -n "${PYTHON:-}" ]; then
        "$PYTHON" -c "$suits" 2>/dev/null || fail "no Python from 3.10 to 3.$newest at PYTHON=$PYTHON."
        command -v "$PYTHON"
        return
    fi
    for candidate in python3.11 python3.12 python3.10 python3.13 python3 python; do
        # A version manager's shim exists even where its Python does not, so ask each one to run.
        if "$candidate" -c "$suits" >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    fail "no Python from 3.10 to 3.$newest found; install one, or name it with PYTHON=/path/to/python."
}

# stamp_of FILE...: a digest of what an environment is made from; its place counts too, as scripts in it hold the path.
stamp_of() {
    (cd "$root" && { pwd && "$python" --version && cat "$@"; }) |
        "$python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'
}

# make_environment FOLDER NEWEST FILE...: makes the environment FOLDER again if one of FILEs changed since it was made.
# Calls install_FOLDER (dot left out, - as _) to fill it. Of several commands at once, one makes it and the others wait.
make_environment() {
    local name="$1" newest="$2" python stamp
    shift 2
    # it belongs to another folder, which it would be taken from
    [ ! -L "$root/$name" ] || return 0
    python="$(find_python "$newest")"
    stamp="$(stamp_of "$@" bin/_common.sh)"
    ! is_made "$name" "$stamp" || return 0
    exec 9>"$root/$name.lock"
    # the lock is the file's, and lasts as long as this shell keeps it open
    "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
    is_made "$name" "$stamp" || fill_environment "$name" "$python" "$stamp"
    exec 9>&-
}

is_made() {
    [ "$(cat "$root/$1/stamp" 2>/dev/null)" = "$2" ]
}

fill_environment() {
    local name="$1" python="$2" stamp="$3" install
    printf 'Making %s with %s (about a minute, once) ...\n' "$name" "$("$python" --version)" >&2
    "$python" -m venv --clear "$root/$name" >&2 ||
        fail "$python could not make an environment; on Debian and Ubuntu its package python3-venv is needed."
    install="install_$(printf '%s' "${name#.}" | tr - _)"
    "$install" || fail "the packages for $name could not be installed; see the message above."
    printf '%s\n' "$stamp" >"$root/$name/stamp"
}

# pip_install NAME ARGUMENT...: nothing is resolved here.
pip_install() {
    local name="$1"
    shift
    "$root/$name/bin/python" -m pip --disable-pip-version-check --no-input install -qq --no-deps "$@" >&2
}

# install_list NAME LIST ARGUMENT...: the lists hold every package with its exact version and its hashes.
install_list() {
    local name="$1" list="$2"
    shift 2
    pip_install "$name" --require-hashes -r "$root/$list" "$@"
}

install_venv() {
    install_list .venv requirements-dev.txt &&
        install_list .venv requirements-metadata.txt --ignore-requires-python &&
        pip_install .venv --no-build-isolation -e "$root"
}

install_venv_sync() {
    install_list .venv-sync sync/requirements.txt
}

install_venv_benchmark() {
    install_list .venv-benchmark requirements-benchmark.txt &&
        install_list .venv-benchmark requirements-build.txt &&
        pip_install .venv-benchmark --no-build-isolation -e "$root"
}

install_venv_audit() {
    install_list .venv-audit requirements-audit.txt
}

# The connector, the tests and the sandbox.
make_venv() {
    make_environment .venv 13 pyproject.toml requirements-dev.txt requirements-metadata.txt
}

# PyAirbyte, which does not support Python 3.13.
make_venv_sync() {
    make_environment .venv-sync 12 sync/requirements.txt
}

# What the connector needs, and the readers that it is compared with.
make_venv_benchmark() {
    make_environment .venv-benchmark 13 pyproject.toml requirements-benchmark.txt requirements-build.txt
}

# What looks up known vulnerabilities.
make_venv_audit() {
    make_environment .venv-audit 13 requirements-audit.txt
}
