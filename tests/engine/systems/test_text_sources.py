# SPDX-License-Identifier: GPL-3.0-or-later
"""Text sources: descriptions, caching by pixels, errors."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from changescribe.engine.errors import InputError, WeightsError
from changescribe.engine.systems import text_sources
from changescribe.engine.systems.text_sources import Descriptions, TextSource, content_key, create

pytestmark = pytest.mark.torch


class Counting(TextSource):
    """Describes the brightness of images, and counts its calls."""

    name = "counting"
    costly = True

    def __init__(self):
        self.calls = 0

    def describe(self, scene):
        self.calls += 1
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
    assert source.calls == 1
    assert Descriptions(source, folder=tmp_path).of([image(200)]).text == "bright roofs"
    assert source.calls == 1
    (path,) = tmp_path.rglob("*.json")
    assert json.loads(path.read_text())["source"] == "counting"
    path.write_text("{")  # a damaged file counts as missing
    assert Descriptions(source, folder=tmp_path).of([image(200)]).text == "bright roofs"
    assert source.calls == 2


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
    assert second.calls == 1


def test_embeddings_are_of_unit_length_zero_for_nothing_and_of_the_width_expected():
    found = Descriptions(Counting(), "shipped", 128).of([image(200)])
    assert found.embedding.shape == (128,)
    assert np.linalg.norm(found.embedding) == pytest.approx(1, abs=1e-3)
    none = Descriptions(create({}), "clip-vit-b-32-openai", 512).of([image(200)])
    assert none.text == ""
    assert not none.embedding.any()
    with pytest.raises(InputError, match="expects 512"):
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


def test_clip_picks_the_label_whose_text_is_nearest_to_the_image(monkeypatch):
    open_clip = pytest.importorskip("open_clip")
    torch.manual_seed(0)
    model = open_clip.CLIP(
        16,
        {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    ).eval()
    model.visual.image_mean, model.visual.image_std = (0.5,) * 3, (0.5,) * 3
    monkeypatch.setattr(text_sources.loading, "clip", lambda *args: model)
    source = text_sources.ClipLabels("ViT-B-32", ("roofs", "ships", "trees"), file="tiny.pt")
    scores = source._scores(image(90, 48))
    assert sum(scores) == pytest.approx(1, abs=1e-4)
    with torch.no_grad():  # the text of one label is made that of the image
        pixels = torch.full((1, 3, 32, 32), (90 / 255 - 0.5) / 0.5)
        source._texts[1] = model.encode_image(pixels, normalize=True)[0]
    assert source.describe([image(90, 48)]).startswith("ships")


@pytest.mark.slow
def test_a_vision_language_model_answers_from_a_folder_of_transformers(tmp_path):
    folder = tiny_llava(tmp_path / "tiny-llava")
    source = create({"source": "vlm", "model": str(folder)})
    one, two = source.describe([image(20)]), source.describe([image(20)])
    assert one == two
    assert isinstance(one, str)
    # Two images and a question of their own, as TextSCD asks.
    pair = create({"source": "vlm", "model": str(folder)}, text_sources.PAIR_QUESTION)
    assert isinstance(pair.describe([image(20), image(200)]), str)
    assert source._model.config.model_type == "llava"
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="tiny-llava"):
        create({"source": "vlm", "model": str(folder)}).describe([image(20)])


def tiny_llava(folder):
    """Write a LLaVA of a few thousand random weights as transformers saves it."""
    import transformers as tf
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<unk>", "<s>", "</s>", "<pad>", "<image>", "roofs", "trees", "roads", ":"]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    fast = tf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, additional_special_tokens=["<image>"], **marks
    )
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    torch.manual_seed(0)
    model = tf.LlavaForConditionalGeneration(
        tf.LlavaConfig(
            vision_config=tf.CLIPVisionConfig(image_size=32, patch_size=16, **sizes),
            text_config=tf.LlamaConfig(vocab_size=len(words), num_key_value_heads=2, **sizes),
            image_token_id=words.index("<image>"),
        )
    )
    model.generation_config.pad_token_id = words.index("<pad>")
    images = tf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32)
    processor = tf.LlavaProcessor(
        images,
        fast,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
