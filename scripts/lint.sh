#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# All of `make lint`; every check runs, even after a failure.
set -uo pipefail
cd "$(dirname "$0")/.."

failed=0
check() {
    local name="$1" log
    shift
    if log="$("$@" 2>&1)"; then
        printf 'lint: %-18s ok\n' "$name"
    else
        printf 'lint: %-18s FAILED\n%s\n' "$name" "$log"
        failed=1
    fi
}

check "ruff" .venv/bin/python -m ruff check --output-format concise .
check "format" .venv/bin/python -m ruff format --check .
check "import contracts" .venv/bin/python -c \
    'import sys; sys.argv[1:] = ["--no-cache"]; from importlinter.cli import lint_imports_command; lint_imports_command()'
# The root of the checkout is the package, whatever the folder is called.
mkdir -p out/types
ln -sfn ../.. out/types/changescribe
security() {
    .venv/bin/python -m bandit -q -r . -x ./.venv,./.venv-full,./out,./tests || return 1
    .venv/bin/python -m flake8 --select=S --exclude .venv,.venv-full,out,tests . || return 1
    # SHA-256 digests and commit hashes are not secrets.
    git -c safe.directory='*' ls-files -z \
        | xargs -0 .venv/bin/detect-secrets-hook --exclude-lines '"[0-9a-f]{12,64}"'
}
check "security" security
check "types" env MYPYPATH=out/types .venv/bin/python -m mypy
check "Qt 6" .venv/bin/python scripts/lint_qt6.py
check "file rules" .venv/bin/python scripts/lint_files.py
exit "$failed"
