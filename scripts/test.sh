#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Run one part of the tests: scripts/test.sh engine|plugin|qt6|torch|slow [pytest arguments]
#
# engine: without QGIS and without torch     plugin: in a real QGIS, under Xvfb
# qt6:    ui under PyQt6, with stand-ins for QGIS
# torch:  the full tier                      slow:   the slow tests of all three
set -euo pipefail
cd "$(dirname "$0")/.."

part="${1:?engine, plugin, qt6, torch or slow}"
shift
# Tests must not touch the user's own QGIS profile (pytest-qgis uses .qgis-settings) or display.
export LIBGL_ALWAYS_SOFTWARE=1
unset QT_QPA_PLATFORM QGIS_OPTS

compact=(.venv/bin/python -m pytest)
full=(.venv-full/bin/python -m pytest -p no:pytest_qgis)
screen=(xvfb-run -a -s "-screen 0 1600x1000x24")

engine_only=(--ignore=tests/plugin --ignore=tests/qt6)

# Without a folder or file in the arguments, run all tests of the part.
paths=(tests) plugin=(tests/plugin)
for argument in "$@"; do
    case "$argument" in tests/*) paths=() plugin=() ;; esac
done

say() { printf '\n== %s\n' "$*"; }
# A tier may have no slow tests; pytest then exits with 5.
allow_none() { "$@" || { [ $? -eq 5 ]; }; }

case "$part" in
engine)
    say "Engine, package and lint rules: no QGIS, no torch"
    "${compact[@]}" -p no:pytest_qgis -m "not slow and not torch" "${engine_only[@]}" "${paths[@]}" "$@"
    ;;
plugin)
    say "Plugin, in a real QGIS under Xvfb"
    "${screen[@]}" "${compact[@]}" -m "not slow and not torch" "${plugin[@]}" "$@"
    ;;
qt6)
    say "User interface under Qt 6"
    PYTHONPATH="$PWD/tests/qt6/standins" QT_QPA_PLATFORM=offscreen \
        "${compact[@]}" -p no:pytest_qgis tests/qt6 "$@"
    ;;
torch)
    say "Full tier: torch"
    "${full[@]}" -m "torch and not slow" "${engine_only[@]}" "${paths[@]}" "$@"
    ;;
slow)
    say "Slow tests: engine and package"
    allow_none "${compact[@]}" -p no:pytest_qgis -m "slow and not torch" "${engine_only[@]}" "${paths[@]}" "$@"
    if [ ${#paths[@]} -gt 0 ]; then
        say "Property-based tests: 10,000 cases, unless HYPOTHESIS_PROFILE=sample"
        HYPOTHESIS_PROFILE="${HYPOTHESIS_PROFILE:-thorough}" "${compact[@]}" -p no:pytest_qgis --timeout 3600 tests/engine/fuzz
    fi
    say "Slow tests: plugin, in a real QGIS under Xvfb"
    allow_none "${screen[@]}" "${compact[@]}" -m "slow and not torch" "${plugin[@]}" "$@"
    say "Slow tests: full tier"
    allow_none "${full[@]}" -m "torch and slow" "${engine_only[@]}" "${paths[@]}" "$@"
    ;;
*)
    echo "Usage: scripts/test.sh engine|plugin|qt6|torch|slow" >&2
    exit 2
    ;;
esac
