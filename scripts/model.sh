#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# `make model`: the bundled model and captioner, into out/model: every stage of training (one that
# was interrupted resumes), calibration, the captioner, the table of figures.
# All parts but two start from scratch: the backbone has ImageNet weights, and the text
# tower (text.onnx, vocab.txt) is taken as shipped (`changescribe build text-tower` makes it).
# The shipped files stay untouched: copy the folder to resources/models to ship it.
# It takes no arguments: every stage must find the data, and the run of the stage before it. Where a
# recipe or the generator of scenes has changed since, it stops: delete out/model to start again.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -gt 0 ]; then
    echo "make model takes no arguments: name the folder of imagery in CHANGESCRIBE_DATA alone." >&2
    exit 2
fi
if [ ! -d "${CHANGESCRIBE_DATA:-}" ]; then
    echo "make model needs the folder of imagery: set CHANGESCRIBE_DATA to it." >&2
    exit 2
fi

scripts/setup.sh full
# The scenes that are written here are those that training reads.
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
# The last stage trains on OSCD and AirChange: each place is measured with a model not trained on it.
"$python" -m changescribe.engine.cli build folds "$runs" "$last" out/model out/model/folds
"$python" -m changescribe.engine.cli evaluate --model out/model --folds out/model/folds \
    --out out/model/evaluation
