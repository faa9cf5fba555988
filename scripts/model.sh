#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# `make model`: the bundled model and captioner from nothing, into out/model: every stage of training
# (one that was cut off goes on where it was), calibration, the captioner, the table of figures.
# Nothing that ships is touched: copy the folder to resources/models to ship it.
set -euo pipefail
cd "$(dirname "$0")/.."

python=.venv-full/bin/python
stages=(bundled bundled_finish bundled_deep bundled_sharp bundled_long bundled_round)
last="${stages[-1]}"

"$python" -m changescribe.engine.training.scene_cache out/scenes 800
for stage in "${stages[@]}"; do
    echo "== $stage"
    "$python" -m changescribe.engine.cli train "$stage" --out "out/$stage" "$@"
done
mkdir -p out/model
"$python" -m changescribe.engine.evaluation.release "out/$last" "$last" out/model
"$python" -m changescribe.engine.training.captioner --model out/model --out out/model
"$python" -m changescribe.engine.cli evaluate --model out/model
