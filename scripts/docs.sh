#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# `make docs`: the site in out/docs, from docs/ and the docstrings of the engine.
set -euo pipefail
cd "$(dirname "$0")/.."

# The API pages need a package named changescribe, and the checkout may have any name. A link to
# the root would let the search for modules run through out/ and the environments for minutes.
rm -rf out/docs-src
mkdir -p out/docs-src/changescribe
cp -r __init__.py engine out/docs-src/changescribe/

# Hides the theme's notice about its successor.
# Not --quiet: it keeps --strict from counting warnings.
if ! log="$(NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --strict --clean -f docs/mkdocs.yml 2>&1)"; then
    printf '%s\n' "$log" >&2
    exit 1
fi

# The pages must work offline, opened as files.
if loaded="$(grep -rnoE '(src|href)="(https?:)?//[^"]*\.(js|css|woff2?|svg|png)[^"]*"' out/docs --include='*.html')"; then
    printf 'The pages load from the network:\n%s\n' "$loaded" >&2
    exit 1
fi
echo "out/docs/index.html"
