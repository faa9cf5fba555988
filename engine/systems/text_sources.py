# SPDX-License-Identifier: GPL-3.0-or-later
"""Descriptions of images, which MMChange and TextSCD read beside the images.

A source describes one image, or both of a pair, in a sentence: a vision-language
model, labels chosen by CLIP, the land cover of the bundled model, or nothing.
:class:`Descriptions` caches the sentences and their embeddings by the content of the
images, so that exchanging the dates exchanges the texts too.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from ..classes import CLASSES
from ..errors import InputError, OutputError
from ..weights import loading, store
from ..weights.hub import model_folder
from .text_file import read_texts
from .texts import SystemsTexts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    #: One image, or the two of a pair in the order of their dates, each (H, W, 3) uint8.
    Scene = Sequence[np.ndarray]

#: What MMChange asks of one image (section III.A).
IMAGE_QUESTION = "What are the components in this picture?"
#: What TextSCD asks of a pair (section 4.1, "Text rephrasing").
PAIR_QUESTION = (
    "Change detection task: Use a sentence to summarize the differences in buildings, roads, "
    "vegetation, etc."
)
#: Default labels for CLIP.
LABELS = (
    "buildings, roads, trees, grass, bare ground, water, farmland, parking lots, playgrounds, "
    "swimming pools, construction sites"
).split(", ")
#: Sentences that CLIP compares an image with.
TEMPLATES = ("a satellite photo of {}.", "an aerial image showing {}.")
#: Minimum probability of a label, relative to the likeliest one.
MIN_LABEL = 0.25
MAX_LABELS = 4
#: Minimum share of an image for a land cover to be named, and to be called "much".
MIN_SHARE, LARGE_SHARE = 0.02, 0.3
#: Maximum answer of a vision-language model, in tokens. CLIP reads no more than 77.
ANSWER_TOKENS = 70
#: Maximum number of descriptions in memory: some megabytes.
MAX_IN_MEMORY = 4096


class TextSource(ABC):
    """Describes images.

    Attributes:
        name: identifies the source and its question; part of the key of the cache.
        costly: its answers take long and are cached on disk.
    """

    name: str
    costly: bool = False

    @abstractmethod
    def describe(self, scene: Scene) -> str:
        """Return a sentence about one image, or about what changed between two.

        Raises:
            WeightsError: weights are missing or damaged.
            DependencyError: a package is missing.
        """


class NoText(TextSource):
    """No text: the images decide alone."""

    name = "none"

    def describe(self, scene: Scene) -> str:
        """Return an empty text."""
        return ""


class BundledLabels(TextSource):
    """Names the land cover that the bundled model finds: no download."""

    name = "bundled"

    def __init__(self) -> None:
        self._system: Any = None

    def describe(self, scene: Scene) -> str:
        """Return a sentence such as "much grass and trees, some roads and buildings"."""
        return _joined(self._one(image) for image in scene)

    def _one(self, image: np.ndarray) -> str:
        import numpy as np

        if self._system is None:
            from .bundled import BundledSystem

            self._system = BundledSystem()
            self._system.load("cpu")
        height, width = image.shape[:2]
        below, right = -height % 32, -width % 32
        padded = np.pad(image, ((0, below), (0, right), (0, 0)), mode="edge")[None]
        classes = self._system.predict(padded, padded, ()).classes_before[0, :height, :width]
        shares = {c.plural: float((classes == i).mean()) for i, c in enumerate(CLASSES)}
        ranked = sorted(shares, key=lambda name: -shares[name])
        much = [name for name in ranked if shares[name] >= LARGE_SHARE]
        some = [name for name in ranked if MIN_SHARE <= shares[name] < LARGE_SHARE]
        parts = [
            f"{word} {_listed(names)}" for word, names in (("much", much), ("some", some)) if names
        ]
        return ", ".join(parts) or "nothing that is known"


class ClipLabels(TextSource):
    """Names the likeliest of some labels, by CLIP, as ChangeCLIP and CLIP Interrogator do.

    Args:
        weights: entry of the catalogue in open_clip's format.
        labels: to choose from.
        folder: of the weights; None is the usual place.
        file: weights outside the catalogue; then ``weights`` is an architecture of open_clip.
    """

    def __init__(
        self,
        weights: str = "clip-vit-b-32-openai",
        labels: Sequence[str] = LABELS,
        folder: Optional[Path] = None,
        file: str = "",
    ) -> None:
        if len(labels) < 2:
            raise InputError(SystemsTexts.few_labels())
        self._weights, self._labels, self._file = weights, tuple(labels), file
        self._store = store.WeightsStore(folder)
        self.name = f"labels:{weights}:{Path(file).name}:{';'.join(self._labels)}"
        self._model: Any = None
        self._texts: Any = None

    def describe(self, scene: Scene) -> str:
        """Return a sentence such as "buildings, roads and trees"."""
        return _joined(self._one(image) for image in scene)

    def _one(self, image: np.ndarray) -> str:
        scores = self._scores(image)
        ranked = sorted(range(len(scores)), key=lambda i: -scores[i])[:MAX_LABELS]
        minimum = MIN_LABEL * scores[ranked[0]]
        return _listed([self._labels[i] for i in ranked if scores[i] >= minimum])

    def _scores(self, image: np.ndarray) -> list[float]:
        """Return the probability of each label."""
        import torch
        import torch.nn.functional as F

        if self._model is None:
            self._load()
        side = self._model.visual.image_size
        side = side[0] if isinstance(side, (tuple, list)) else side
        pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
        pixels = F.interpolate(pixels, (side, side), mode="bicubic", antialias=True) / 255
        mean, std = (
            torch.tensor(getattr(self._model.visual, name)).view(1, 3, 1, 1)
            for name in ("image_mean", "image_std")
        )
        with torch.no_grad():
            seen = self._model.encode_image((pixels.clamp(0, 1) - mean) / std, normalize=True)
            logits = self._model.logit_scale.exp() * seen @ self._texts.T
        return logits[0].softmax(0).tolist()

    def _load(self) -> None:
        import torch

        architecture = self._weights
        if self._file:
            self._model = loading.clip(self._file, architecture)
        else:
            entry = self._store.entry(self._weights)
            architecture = entry.architecture
            self._model = loading.clip(self._store.path(entry.id), architecture, entry.sha256)
        import open_clip

        tokenize = open_clip.get_tokenizer(architecture)
        with torch.no_grad():
            texts = [
                self._model.encode_text(tokenize([t.format(x) for t in TEMPLATES]), normalize=True)
                for x in self._labels
            ]
        self._texts = torch.nn.functional.normalize(torch.stack(texts).mean(1), dim=-1)


class VisionLanguageModel(TextSource):
    """Any image-text-to-text model of transformers, such as TinyLLaVA or SmolVLM.

    Decoding is greedy, so that an image always gets the same answer; the paper samples.

    Args:
        model: an entry of the catalogue, a folder as transformers saves it, or
            ``owner/name@commit`` on the hub with the full commit.
        question: put to the model.
        folder: of the weights; None is the usual place.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
    """

    costly = True

    def __init__(
        self,
        model: str = "tiny-llava-v1",
        question: str = IMAGE_QUESTION,
        folder: Optional[Path] = None,
        device: str = "auto",
    ) -> None:
        self._model_name, self._question, self._requested_device = model, question, device
        self._store = store.WeightsStore(folder)
        self.name = f"vlm:{Path(model).name if Path(model).is_dir() else model}:{question}"
        self._model: Any = None
        self._processor: Any = None
        self._device: Any = None

    def describe(self, scene: Scene) -> str:
        """Return the model's answer on one line."""
        import torch

        if self._model is None:
            self._load()
        content = [{"type": "image"} for _ in scene] + [{"type": "text", "text": self._question}]
        if getattr(self._processor, "chat_template", None):
            prompt = self._processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True
            )
        else:
            mark = getattr(self._processor, "image_token", None) or "<image>"
            prompt = f"USER: {mark * len(scene)}\n{self._question} ASSISTANT:"
        inputs = self._processor(images=list(scene), text=prompt, return_tensors="pt")
        inputs = inputs.to(self._device.name)
        with torch.inference_mode(), self._device.autocast():
            answer = self._model.generate(**inputs, max_new_tokens=ANSWER_TOKENS, do_sample=False)
        # Decoder-only models repeat the prompt.
        start = 0 if self._model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
        words = self._processor.batch_decode(answer[:, start:], skip_special_tokens=True)[0]
        return " ".join(words.split())

    def _load(self) -> None:
        from torch.utils.data import get_worker_info

        from .. import device

        chosen = device.choose(self._requested_device)
        # CUDA cannot be used in a fork of a process that uses it.
        if chosen.name == "cuda" and get_worker_info() is not None:
            raise InputError(SystemsTexts.vlm_in_reader())
        folder = model_folder(self._model_name, self._store)
        self._processor = loading.transformers_part(folder, "AutoProcessor")
        model = loading.transformers_part(folder, "AutoModelForImageTextToText")
        self._device = chosen
        self._model = model.to(self._device.name).eval()


class FileTexts(TextSource):
    """Texts of a file, found by the pixels of the images.

    Args:
        file: JSON file, see :func:`.text_file.read_texts`.
        otherwise: describes scenes that the file lacks, such as the tiles of another place; None
            makes them an error.
    """

    def __init__(self, file: str, otherwise: Optional[TextSource] = None) -> None:
        self._file, self._otherwise = file, otherwise
        self._texts = read_texts(Path(file))
        content = hashlib.sha256(json.dumps(self._texts, sort_keys=True).encode()).hexdigest()
        self.name = f"file:{content}:{otherwise.name if otherwise else ''}"
        self.costly = bool(otherwise and otherwise.costly)

    def describe(self, scene: Scene) -> str:
        """Return the text of a scene.

        Raises:
            InputError: the file has none, and there is no other source.
        """
        text = self._texts.get(content_key(scene))
        if text is not None:
            return text
        if self._otherwise is None:
            raise InputError(SystemsTexts.no_text(file=self._file))
        return self._otherwise.describe(scene)


@dataclass(frozen=True)
class Description:
    """Description of a scene.

    Attributes:
        text: the sentence; may be empty.
        embedding: (W,) float32 of unit length; zero for no text.
    """

    text: str
    embedding: np.ndarray = field(repr=False)


class Descriptions:
    """Descriptions of scenes and their embeddings, cached by the pixels of the scenes.

    For one thread at a time; several processes may share a folder.

    Args:
        tower: name of the text tower that embeds the sentences, see
            :func:`..backbones.clip_text.build`; empty for sentences alone.
        folder: of the cache on disk; None caches in memory only.
        weights: folder of the weights; None is the usual place.
        file: weights of the tower outside the catalogue.
    """

    def __init__(
        self,
        source: TextSource,
        tower: str = "",
        width: int = 0,
        folder: Optional[Union[str, Path]] = None,
        weights: Optional[Path] = None,
        file: str = "",
    ) -> None:
        self.source = source
        self._tower_name, self._width, self._file = tower, width, file
        name = hashlib.sha256(f"{source.name}|{tower}|{Path(file).name}".encode()).hexdigest()[:16]
        self._folder = Path(folder) / name if folder is not None else None
        self._weights = weights
        self._tower: Any = None
        self._known: OrderedDict[str, Description] = OrderedDict()

    def of(self, scene: Scene) -> Description:
        """Return the description of a scene; the same pixels are described once.

        Raises:
            WeightsError: weights of the source or of the text tower are missing.
            InputError: the tower's embeddings have another width.
            OutputError: the folder cannot be written.
        """
        if isinstance(self.source, NoText):
            return self._embed("")
        key = content_key(scene)
        found = self._known.get(key) or self._read(key)
        if found is None:
            found = self._embed(self.source.describe(scene))
            self._write(key, found)
        self._known[key] = found
        self._known.move_to_end(key)
        while len(self._known) > MAX_IN_MEMORY:
            self._known.popitem(last=False)
        return found

    def _embed(self, text: str) -> Description:
        import numpy as np

        if not text or not self._tower_name:
            return Description(text, np.zeros(self._width, np.float32))
        if self._tower is None:
            from ..backbones import clip_text

            place = store.WeightsStore(self._weights)
            self._tower = clip_text.build(self._tower_name, self._file, store=place)
            if self._tower.sentence_width != self._width:
                raise InputError(
                    SystemsTexts.tower_width(
                        tower=self._tower_name,
                        width=self._tower.sentence_width,
                        expected=self._width,
                    )
                )
        return Description(text, self._tower.encode([text]).sentence[0].numpy())

    def _read(self, key: str) -> Optional[Description]:
        """Read a description from disk; None if the file is missing or damaged."""
        import numpy as np

        if self._folder is None:
            return None
        try:
            content = json.loads((self._folder / f"{key}.json").read_text(encoding="utf-8"))
            embedding = np.array(content["embedding"], np.float32)
            text = str(content["text"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return Description(text, embedding) if embedding.shape == (self._width,) else None

    def _write(self, key: str, found: Description) -> None:
        if self._folder is None:
            return
        numbers = [round(float(value), 7) for value in found.embedding]
        content = {"text": found.text, "source": self.source.name, "embedding": numbers}
        path = self._folder / f"{key}.json"
        # Several processes may describe the same image, so each writes its own part file.
        part = path.with_name(f"{key}.{os.getpid()}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(content), encoding="utf-8")
            os.replace(part, path)
        except OSError as error:
            raise OutputError(
                SystemsTexts.folder_not_writable(folder=self._folder), details=str(error)
            ) from error


def content_key(scene: Scene) -> str:
    """Return a hash of the pixels of a scene, wherever its files are."""
    import numpy as np

    digest = hashlib.sha256()
    for image in scene:
        digest.update(f"{image.shape}{image.dtype}".encode())
        digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def default_folder() -> Path:
    """Return the folder of the cache: beside the weights."""
    return store.default_folder().parent / "descriptions"


def create(
    settings: dict[str, Any], question: str = IMAGE_QUESTION, weights: Optional[Path] = None
) -> TextSource:
    """Create the source described in a recipe's section ``text_source``.

    Args:
        settings: ``source``: ``"none"`` (or nothing), ``"bundled"``, ``"labels"``, ``"vlm"`` or
            ``"file"``; for labels ``model``, ``file`` and ``labels``, for vlm ``model`` and
            ``question``, for file ``file`` and ``otherwise``, the settings of another source.
        question: for a vision-language model, unless the settings have one.
        weights: folder of the weights; None is the usual place.

    Raises:
        InputError: a setting is unknown.
    """
    options = {key: value for key, value in settings.items() if value is not None}
    kind = str(options.pop("source", "none"))
    sources: dict[str, type[TextSource]] = {
        "none": NoText,
        "bundled": BundledLabels,
        "labels": ClipLabels,
        "vlm": VisionLanguageModel,
        "file": FileTexts,
    }
    if kind not in sources:
        raise InputError(SystemsTexts.no_source(source=kind))
    model = options.pop("model", None)
    if kind in ("labels", "vlm"):
        options["folder"] = weights
        if model is not None:
            options["weights" if kind == "labels" else "model"] = model
    if kind == "vlm":
        options.setdefault("question", question)
    if kind == "file" and "otherwise" in options:
        options["otherwise"] = create(options["otherwise"], question, weights)
    try:
        return sources[kind](**options)
    except TypeError as error:
        raise InputError(SystemsTexts.no_setting(source=kind), details=str(error)) from error


def _listed(names: Sequence[str]) -> str:
    """Return "a, b and c"."""
    *head, last = names
    return f"{', '.join(head)} and {last}" if head else last


def _joined(sentences: Any) -> str:
    """Return one sentence, or those of both dates joined."""
    return " changed to ".join(sentences)
