# SPDX-License-Identifier: GPL-3.0-or-later
"""Text sources: what is described, remembered by pixels, and refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from changescribe.engine import text_sources
from changescribe.engine.errors import InputError, WeightsError
from changescribe.engine.text_sources import Descriptions, TextSource, content_key, create

pytestmark = pytest.mark.torch


class Counting(TextSource):
    """Says how bright the images are, and counts how often it is asked."""

    name = "counting"
    costly = True

    def __init__(self):
        self.asked = 0

    def describe(self, scene):
        self.asked += 1
        return " changed to ".join("bright roofs" if i.mean() > 99 else "dark trees" for i in scene)


def image(value, side=32):
    return np.full((side, side, 3), value, np.uint8)


def test_the_key_is_the_content_wherever_the_pixels_lie():
    wide = np.zeros((32, 64, 3), np.uint8)
    wide[:, 8:40] = 7
    assert content_key([wide[:, 8:40]]) == content_key([image(7)])
    assert content_key([image(7)]) != content_key([image(8)])
    # The same bytes in another shape, and the dates the other way round, are another scene.
    assert content_key([image(7).reshape(16, 64, 3)]) != content_key([image(7)])
    assert content_key([image(1), image(2)]) != content_key([image(2), image(1)])


def test_a_description_is_computed_once_and_kept_on_disk(tmp_path):
    source = Counting()
    texts = Descriptions(source, folder=tmp_path)
    assert texts.of([image(200)]).text == texts.of([image(200)]).text == "bright roofs"
    assert source.asked == 1
    assert Descriptions(source, folder=tmp_path).of([image(200)]).text == "bright roofs"
    assert source.asked == 1
    (path,) = tmp_path.rglob("*.json")
    assert json.loads(path.read_text())["source"] == "counting"
    path.write_text("{")  # a damaged file is as good as none
    assert Descriptions(source, folder=tmp_path).of([image(200)]).text == "bright roofs"
    assert source.asked == 2


def test_exchanged_dates_exchange_the_texts(tmp_path):
    texts = Descriptions(Counting(), folder=tmp_path)
    dark, bright = image(10), image(200)
    assert texts.of([dark, bright]).text == "dark trees changed to bright roofs"
    assert texts.of([bright, dark]).text == "bright roofs changed to dark trees"


def test_another_source_does_not_get_the_answers_of_the_first(tmp_path):
    first, second = Counting(), Counting()
    second.name = "another question"
    Descriptions(first, folder=tmp_path).of([image(1)])
    Descriptions(second, folder=tmp_path).of([image(1)])
    assert second.asked == 1


def test_embeddings_are_of_unit_length_zero_for_nothing_and_of_the_width_expected():
    found = Descriptions(Counting(), "shipped", 128).of([image(200)])
    assert found.embedding.shape == (128,)
    assert np.linalg.norm(found.embedding) == pytest.approx(1, abs=1e-3)
    none = Descriptions(create({}), "clip-vit-b-32-openai", 512).of([image(200)])
    assert none.text == ""
    assert not none.embedding.any()
    with pytest.raises(InputError, match="built for 512"):
        Descriptions(Counting(), "shipped", 512).of([image(200)])


def test_the_shipped_model_names_land_cover_of_an_image_of_any_size():
    text = create({"source": "bundled"}).describe([image(90, 70)])
    assert text
    assert "changed to" not in text


def test_sources_by_name_and_what_is_refused(tmp_path):
    assert create({}).name == "none"
    assert create({"source": "vlm"}, "What?").name == "vlm:tiny-llava-v1:What?"
    labels = create({"source": "labels", "labels": ["roofs", "ships"]}, weights=tmp_path)
    assert labels.name.endswith("roofs;ships")
    for settings in ({"source": "gossip"}, {"source": "bundled", "loud": True}):
        with pytest.raises(InputError):
            create(settings)
    with pytest.raises(WeightsError, match="TinyLLaVA"):
        create({"source": "vlm"}, weights=tmp_path).describe([image(1)])
    with pytest.raises(InputError, match="40"):
        # A branch may change under the same name: only a commit is always the same.
        create({"source": "vlm", "model": "owner/name@main"}).describe([image(1)])


def test_labels_are_those_near_the_likeliest(monkeypatch):
    source = text_sources.ClipLabels(labels=("roofs", "ships", "trees"))
    monkeypatch.setattr(source, "_scores", lambda _: [0.5, 0.05, 0.45])
    assert source.describe([image(1)]) == "roofs and trees"
    assert source.describe([image(1), image(2)]) == "roofs and trees changed to roofs and trees"
