#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# `make model`: build the bundled model and captioner in out/model: all training stages (interrupted
# ones resume), calibration, the captioner, the figures.
# The backbone starts from ImageNet weights, and the text tower (text.onnx, vocab.txt) is the shipped
# one (built by `changescribe build text-tower`); everything else is trained from scratch.
# The shipped files are not touched: copy the folder to resources/models to ship it.
# It takes no arguments. If a recipe or the scene generator has changed since an earlier run, it
# stops: delete out/model to start again.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -gt 0 ]; then
    echo "make model takes no arguments. Set CHANGESCRIBE_DATA to the folder of imagery." >&2
    exit 2
fi
if [ ! -d "${CHANGESCRIBE_DATA:-}" ]; then
    echo "make model needs the folder of imagery: set CHANGESCRIBE_DATA to it." >&2
    exit 2
fi

scripts/setup.sh full
# Training must read the scenes written here.
unset CHANGESCRIBE_SCENES
runs=out/model/runs
python=.venv-full/bin/python
stages=(bundled bundled_finish bundled_deep bundled_sharp bundled_long bundled_round bundled_polish
    bundled_sentences bundled_mixed)
last="${stages[-1]}"

"$python" -m changescribe.engine.cli build scenes "$runs/scenes"
for stage in "${stages[@]}"; do
    echo "== $stage"
    "$python" -m changescribe.engine.cli train "$stage" --out "$runs/$stage"
done
"$python" -m changescribe.engine.cli build release "$runs/$last" "$last" out/model
"$python" -m changescribe.engine.cli build captioner --model out/model --out out/model
# The last stage trains on OSCD and AirChange, so each place is measured with a model without it.
"$python" -m changescribe.engine.cli build folds "$runs" "$last" out/model out/model/folds
"$python" -m changescribe.engine.cli evaluate --model out/model --folds out/model/folds \
    --out out/model/evaluation
