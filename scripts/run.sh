#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# `make run`: open QGIS with the plugin, the demo pair and the dock. Without a display, or with
# HEADLESS=1, a script drives it under Xvfb and leaves results in out/run/.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${HEADLESS:-}" ] && [ "${HEADLESS}" != 0 ]; then
    echo "[run] HEADLESS is set: driving QGIS under Xvfb."
elif [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    echo "[run] There is no display: driving QGIS under Xvfb."
else
    echo "[run] Opening QGIS with a profile of its own (out/profile); your own is not touched."
    exec .venv/bin/python scripts/open_qgis.py
fi
exec .venv/bin/python scripts/headless_run.py
