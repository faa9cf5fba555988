# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of the bundled captioner, in minutes.

``changescribe build captioner`` encodes the captioned crops of tiles 1-30 with the bundled model,
reads the sentences without images, and writes the captioner beside the model. Run it again
whenever the bundled model changes, since the captioner uses its features. The steps are in
:mod:`.steps`.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ...modules.bundled.captioner import START, Captioner, CaptionerConfig
from ...systems.bundled import BundledSystem
from ...systems.bundled import captioner as runtime
from ...systems.bundled.captioner import CaptionerFacts
from ...weights.files import sha256_of, write_text
from ...wording.reading import NO_CHANGE, words
from ..export import OPSET, halve_weights
from ..scenes.consensus import Consensus
from ..texts import TrainingTexts
from .features import VIEWS, Crops, read_crops
from .language import Group, Language, read_groups
from .steps import (
    CropSamples,
    Schedule,
    TextGroups,
    read_all,
    train_eye,
    train_on_reward,
    train_writer,
)

Log = Callable[[str], None]
#: Sizes chosen here; the others follow from words and features.
WIDTH = 96


@dataclass(frozen=True)
class Trained:
    """A trained captioner.

    Attributes:
        changed_from: minimum probability of change to write about a change.
        no_change: sentence written below that probability.
        accuracy: fraction of the training crops whose change is detected correctly by an eye that
            was not trained on their tile.
    """

    model: Captioner
    language: Language
    changed_from: float
    no_change: str
    accuracy: float


def train(
    crops: Crops,
    groups: Sequence[Group],
    schedule: Schedule,
    *,
    cache: Path | None = None,
    width: int = WIDTH,
    log: Log = lambda _: None,
) -> Trained:
    """Train a captioner.

    Args:
        crops: with features; only those of training tiles are used.
        groups: of sentences about changed scenes without images.
        schedule: lengths and rates.
        cache: folder for the writer after the first step, which is independent of the features.
        width: channels of the decoder.
        log: called with a line of progress.
    """
    own = [tuple(tuple(words(text)) for text in group) for group in crops.captions]
    known = np.flatnonzero(crops.training)
    changed = known[crops.changed[known]]
    material = [*groups, *(own[n] for n in changed)]
    language = Language.of(material)
    counts = len(language.vocabulary), len(language.concepts)
    config = CaptionerConfig(*counts, crops.grid.shape[2], crops.summary.shape[2], width=width)
    torch.manual_seed(schedule.seed)
    model = Captioner(config)
    _measure_scales(model, crops, known)
    text = TextGroups(material, language)
    _pretrain(model, text, language, schedule, cache, log)
    samples = CropSamples(crops, language, own)
    concepts, flags = _unseen(config, samples, known, model, schedule, log)
    model.eye = train_eye(config, samples, known, model, schedule)
    train_on_reward(model, samples, changed, concepts, text, language, schedule, log)
    threshold, accuracy = best_threshold(flags[0][known].numpy(), crops.changed[known])
    log(f"change detected correctly: {accuracy:.3f} from {threshold:.2f} on")
    judge = Consensus([own[n] for n in known])
    unchanged = np.flatnonzero(~crops.changed[known])
    if len(unchanged):
        no_change = max(NO_CHANGE, key=lambda s: judge.score(words(s), int(unchanged[0])))
    else:
        no_change = NO_CHANGE[0]
    return Trained(model.eval(), language, threshold, no_change, accuracy)


def _pretrain(
    model: Captioner,
    text: TextGroups,
    language: Language,
    schedule: Schedule,
    cache: Path | None,
    log: Log,
) -> None:
    """Run the first step or load its cached result; it depends on sentences and settings alone."""
    state = asdict(schedule) | {"width": model.config.width}
    steps = ("epochs", "rate", "batch", "temperature", "seed", "width")
    settings = {name: state[name] for name in steps}
    key = repr((settings, language.vocabulary, language.concepts, text.groups)).encode()
    path = cache / f"writer_{hashlib.sha256(key).hexdigest()[:12]}.pt" if cache else None
    if path is not None and path.exists():
        kept = torch.load(path, weights_only=True)
        model.writer.load_state_dict(kept, strict=False)
        return
    train_writer(model.writer, text, language, schedule, log)
    if path is not None:
        # The layers for cells are still untrained, and their size may differ.
        learnt = {n: v for n, v in model.writer.state_dict().items() if not n.startswith("cell.")}
        torch.save(learnt, path)


def _measure_scales(model: Captioner, crops: Crops, known: np.ndarray) -> None:
    """Normalise every channel with the mean and spread of the training crops."""
    grid = crops.grid[:, known].astype(np.float32)
    for scale, values in (
        (model.grid_scale, grid.transpose(0, 1, 3, 4, 2).reshape(-1, grid.shape[2])),
        (model.summary_scale, crops.summary[:, known].reshape(-1, crops.summary.shape[2])),
    ):
        scale[0] = torch.from_numpy(values.mean(0))
        # A constant channel must not be amplified to noise.
        scale[1] = torch.from_numpy(values.std(0)).clamp_min(1e-3)


def _unseen(
    config: CaptionerConfig,
    samples: CropSamples,
    known: np.ndarray,
    model: Captioner,
    schedule: Schedule,
    log: Log,
) -> tuple[Tensor, Tensor]:
    """Return concepts and probabilities of change from eyes that were not trained on the tile."""
    tiles = samples.crops.tiles
    concepts, flags = torch.zeros(0), torch.zeros(0)
    for fold in range(schedule.folds):
        apart = tiles % schedule.folds == fold
        eye = train_eye(config, samples, known[~apart[known]], model, schedule)
        read, flag = read_all(eye, samples, model)
        if not fold:
            concepts, flags = read, flag
        apart_ = torch.from_numpy(apart)
        concepts[:, :, apart_], flags[:, apart_] = read[:, :, apart_], flag[:, apart_]
        log(f"eye {fold + 1} of {schedule.folds}")
    return concepts, flags


def best_threshold(probability: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the threshold (0.05 to 0.95) with the highest accuracy, and that accuracy."""
    thresholds = np.linspace(0.05, 0.95, 19)
    right = np.array([((probability >= t) == truth).mean() for t in thresholds])
    # The middle of the best thresholds.
    best = np.flatnonzero(right == right.max())
    return float(thresholds[best[len(best) // 2]]), float(right.max())


def export(trained: Trained, folder: Path, belongs_to: dict[str, str], revision: str) -> None:
    """Write the captioner's files."""
    folder.mkdir(parents=True, exist_ok=True)
    config = trained.model.config
    example = (
        torch.randn(1, config.cells, 8, 8),
        torch.randn(1, config.summary),
        torch.full((2, 3), START),
    )
    part = folder / f"{runtime.MODEL}.part"
    torch.onnx.export(
        trained.model.eval(),
        example,
        str(part),
        input_names=["grid", "summary", "tokens"],
        output_names=["next", "changed"],
        opset_version=OPSET,
        dynamo=False,
        dynamic_axes={"tokens": {0: "rows", 1: "length"}, "next": {0: "rows"}},
    )
    halve_weights(part)
    part.replace(folder / runtime.MODEL)
    write_text(folder / runtime.VOCABULARY, "\n".join(trained.language.vocabulary) + "\n")
    facts = CaptionerFacts(
        files={name: sha256_of(folder / name) for name in (runtime.MODEL, runtime.VOCABULARY)},
        belongs_to=belongs_to,
        revision=revision,
        longest=config.longest,
        changed_from=round(trained.changed_from, 3),
        no_change=trained.no_change,
    )
    write_text(folder / runtime.MANIFEST, json.dumps(asdict(facts), indent=1) + "\n")


def build(
    data: Path,
    model: Path,
    out: Path,
    cache: Path,
    *,
    views: Sequence[str] = ("tile",),
    schedule: Schedule | None = None,
    threads: int = 1,
) -> None:
    """Train the bundled captioner on the features of the bundled model.

    Args:
        data: the folder of real data.
        model: folder of the bundled model's files.
        out: folder for the captioner's files.
        cache: folder of the crops' features; missing ones are written.
        views: names of :data:`VIEWS`.
        schedule: lengths and rates; None is the default.
        threads: of PyTorch.

    Raises:
        InputError: unknown view, or the sentences are missing.
    """
    if not set(views) <= set(VIEWS):
        raise InputError(TrainingTexts.no_such_views(names=",".join(views), known=", ".join(VIEWS)))
    torch.set_num_threads(threads)
    start = time.monotonic()

    def log(text: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - start:5.0f} s] {text}\n")
        sys.stderr.flush()

    for name in ("captions.json", "caption_sentences_train.txt"):
        if not (data / "levir" / name).is_file():
            raise InputError(TrainingTexts.no_levir_file(file=name))
    crops = read_crops(data, cache, model, views, log)
    groups = read_groups(data / "levir" / "caption_sentences_train.txt")
    trained = train(crops, groups, schedule or Schedule(), cache=cache, log=log)
    digests = BundledSystem(model).digests
    belongs_to = {name: digests[name] for name in ("encoder.onnx", "head.onnx", "text.onnx")}
    revision = f"captioner-{datetime.now(timezone.utc):%Y%m%d-%H%M}"
    export(trained, out, belongs_to, revision)
    log(f"written: {out / runtime.MODEL}")
