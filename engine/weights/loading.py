# SPDX-License-Identifier: GPL-3.0-or-later
"""Read weight files, safely and offline; no other module reads them.

Tensors come from safetensors, or from ``torch.load`` with ``weights_only=True``; nothing else is
ever unpickled. The only exception is OpenAI's CLIP, which is published as a TorchScript archive.
Such an archive is a program, so it is opened only if its SHA-256 is the one in the catalogue, and
only its tensors are kept.

Models are built by the installed packages without the network, and every key must fit.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from ..errors import WeightsError, missing_package, raise_out_of_memory
from . import files
from .texts import WeightsTexts

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    State = dict[str, torch.Tensor]

#: Configurations in the package sam2 by size of the Hiera trunk of SAM 2.1.
SAM2_CONFIGURATIONS = {
    "tiny": "sam2.1_hiera_t",
    "small": "sam2.1_hiera_s",
    "base_plus": "sam2.1_hiera_b+",
    "large": "sam2.1_hiera_l",
}
#: Entries of OpenAI's archives that are not weights.
_OPENAI_EXTRAS = ("input_resolution", "context_length", "vocab_size")
#: Keys under which training programs store weights, by preference.
_WRAPPERS = ("model", "state_dict")
_SHOWN_KEYS = 5
#: Longest header that safetensors allows, in bytes.
_LONGEST_HEADER = 100_000_000


def read(path: Union[str, Path], pinned_sha256: Optional[str] = None) -> Any:
    """Read a weight file onto the CPU.

    Args:
        path: safetensors, a file of ``torch.save``, or a TorchScript archive.
        pinned_sha256: SHA-256 in the catalogue, required to read a TorchScript archive.

    Returns:
        The content: a dict of tensors for safetensors and TorchScript.

    Raises:
        WeightsError: it is missing or incomplete, or contains more than tensors.
        DependencyError: torch or safetensors is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(WeightsTexts.file_missing(path=path))
    if path.suffix == ".safetensors":
        return read_safetensors(path)[0]
    torch = _need("torch")
    if _is_torchscript(path):
        return _read_torchscript(torch, path, pinned_sha256)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's readers raise whatever their parts do
        raise_out_of_memory(error)
        text = WeightsTexts.unsafe_file(file=path.name)
        raise WeightsError(text, details=f"{path}\n{error}") from error


def read_safetensors(path: Union[str, Path]) -> tuple[State, dict[str, str]]:
    """Read the tensors of a safetensors file onto the CPU, and its metadata.

    Raises:
        WeightsError: it is missing or damaged.
        DependencyError: safetensors is not installed.
    """
    opener = _need("safetensors").safe_open
    try:
        with opener(str(path), framework="pt", device="cpu") as stream:
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
            return tensors, stream.metadata() or {}
    except Exception as error:  # its errors share no public base class
        raise_out_of_memory(error)
        text = WeightsTexts.not_safetensors(file=Path(path).name)
        raise WeightsError(text, details=f"{path}\n{error}") from error


def state_dict(
    path: Union[str, Path], prefix: str = "", pinned_sha256: Optional[str] = None
) -> State:
    """Return the tensors of a weight file by name.

    Args:
        path: weight file.
        prefix: only tensors whose name starts with it are returned, without it.
        pinned_sha256: see :func:`read`.

    Raises:
        WeightsError: the file contains no tensors, or none with the prefix.
    """
    content = read(path, pinned_sha256)
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    tensors = _tensors(content)
    if tensors and all(name.startswith("module.") for name in tensors):
        tensors = {name[len("module.") :]: value for name, value in tensors.items()}
    found = {n[len(prefix) :]: value for n, value in tensors.items() if n.startswith(prefix)}
    if not found:
        text = WeightsTexts.no_tensors_with_prefix if tensors else WeightsTexts.no_tensors
        raise WeightsError(text(file=Path(path).name, prefix=prefix), details=str(path))
    return found


def fill(module: torch.nn.Module, state: Mapping[str, torch.Tensor], name: str) -> None:
    """Copy weights into a module; all keys and shapes must match.

    Raises:
        WeightsError: keys are missing or unexpected, or shapes differ.
    """
    own = module.state_dict()
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if missing or unexpected or shapes:
        raise WeightsError(
            WeightsTexts.other_model(file=name),
            details=f"missing: {_some(missing)}\nunexpected: {_some(unexpected)}\n"
            f"of another shape: {_some(shapes)}",
        )
    module.load_state_dict(dict(state))


def hiera_trunk(path: Union[str, Path], size: str) -> torch.nn.Module:
    """Return the Hiera trunk of a SAM 2.1 checkpoint.

    Returns:
        ``sam2.modeling.backbones.hieradet.Hiera`` in evaluation mode: (B, 3, H, W) float32
        to four maps at strides 4, 8, 16, 32.

    Raises:
        WeightsError: the file is not a checkpoint of that size.
        DependencyError: sam2 is not installed.
    """
    trunk = hiera_architecture(size)
    fill(trunk, state_dict(path, "image_encoder.trunk."), Path(path).name)
    return trunk.eval()


def hiera_architecture(size: str) -> torch.nn.Module:
    """Return a Hiera trunk of SAM 2.1 with random weights, from the configuration in sam2."""
    sam2 = _need("sam2")
    from omegaconf import OmegaConf
    from sam2.modeling.backbones.hieradet import Hiera

    folder = Path(next(iter(sam2.__path__))) / "configs" / "sam2.1"
    config = OmegaConf.load(folder / f"{SAM2_CONFIGURATIONS[size]}.yaml")
    options = OmegaConf.to_container(config.model.image_encoder.trunk)
    return Hiera(**{key: value for key, value in options.items() if key != "_target_"})


def sam2_model(path: Union[str, Path], size: str) -> torch.nn.Module:
    """Return a complete SAM 2.1 model on the CPU, in evaluation mode.

    Raises:
        WeightsError: the file is not a checkpoint of that size.
        DependencyError: sam2 is not installed.
    """
    _need("sam2")
    from sam2.build_sam import build_sam2

    name = f"configs/sam2.1/{SAM2_CONFIGURATIONS[size]}.yaml"
    model = build_sam2(name, ckpt_path=None, device="cpu")
    fill(model, state_dict(path), Path(path).name)
    return model


def clip(
    path: Union[str, Path], architecture: str, pinned_sha256: Optional[str] = None
) -> torch.nn.Module:
    """Return a CLIP of open_clip, in evaluation mode and single precision.

    Args:
        path: file that open_clip takes as ``pretrained=``, or OpenAI's archive.
        architecture: open_clip's name, such as ``"ViT-B-16-quickgelu"`` for OpenAI's weights.
        pinned_sha256: SHA-256 in the catalogue, for OpenAI's archive.

    Raises:
        WeightsError: the weights do not fit the architecture.
        DependencyError: open_clip is not installed.
    """
    model = clip_architecture(architecture)
    state = state_dict(path, pinned_sha256=pinned_sha256)
    for name in _OPENAI_EXTRAS:
        state.pop(name, None)
    fill(model, state, Path(path).name)
    return model.eval()


def clip_architecture(architecture: str) -> torch.nn.Module:
    """Return a CLIP of open_clip with random weights; see :func:`clip`."""
    open_clip = _need("open_clip", "open_clip_torch")
    # open_clip would download the weights of text and image towers.
    return open_clip.create_model(architecture, pretrained=None, pretrained_text=False)


def clip_text(
    path: Union[str, Path], architecture: str, pinned_sha256: Optional[str] = None
) -> torch.nn.Module:
    """Return a CLIP without its image tower, to save memory; see :func:`clip`."""
    model = clip(path, architecture, pinned_sha256)
    model.visual = None
    return model


def resnet(path: Union[str, Path], architecture: str) -> torch.nn.Module:
    """Return a ResNet of torchvision with its classifier, in evaluation mode.

    Raises:
        WeightsError: the weights do not fit the architecture.
        DependencyError: torchvision is not installed.
    """
    _need("torchvision")
    from torchvision import models

    model = models.get_model(architecture, weights=None)
    fill(model, state_dict(path), Path(path).name)
    return model.eval()


def transformers_part(
    folder: Union[str, Path], part: str = "AutoModelForCausalLM", **options: Any
) -> Any:
    """Return a model, tokenizer or processor from a model folder of transformers.

    No code of the folder is run and nothing is downloaded. Weights come from safetensors if there
    are any, else from files read with ``weights_only=True``.

    Args:
        folder: with ``config.json``.
        part: a class of transformers, such as ``"AutoTokenizer"``.
        options: passed to ``from_pretrained``, such as ``dtype``.

    Raises:
        WeightsError: the folder lacks files, or needs code of its own.
        DependencyError: transformers is not installed.
    """
    transformers = _need("transformers")
    folder = Path(folder)
    # A GGUF file contains the configuration.
    if not (folder / options.get("gguf_file", "config.json")).is_file():
        raise WeightsError(WeightsTexts.no_transformers_folder(folder=folder))
    try:
        return getattr(transformers, part).from_pretrained(
            str(folder),
            revision="local",  # a folder has no other
            local_files_only=True,
            trust_remote_code=False,
            **({"weights_only": True} if "Model" in part or "For" in part else {}),
            **options,
        )
    except Exception as error:  # transformers raises what its many parts do
        raise_out_of_memory(error)
        text = WeightsTexts.model_fails(folder=folder.name)
        raise WeightsError(text, details=f"{folder}\n{error!r}") from error


def save_head(state: State, path: Union[str, Path], metadata: dict[str, Any]) -> None:
    """Write trained weights in the format ``changescribe_safetensors``.

    Args:
        state: tensors by name.
        path: file to write; it gets this name once it is complete.
        metadata: JSON from which the module can be built again.
    """
    _need("safetensors")
    from safetensors.torch import save_file

    path = Path(path)
    half = path.with_name(f"{path.name}.part")
    tensors = {n: value.detach().cpu().contiguous() for n, value in state.items()}
    save_file(tensors, str(half), {"changescribe": json.dumps(metadata)})
    half.replace(path)


def read_head(path: Union[str, Path]) -> tuple[State, dict[str, Any]]:
    """Read the tensors and the metadata of a file of :func:`save_head`."""
    return read_safetensors(path)[0], head_metadata(path)


def head_metadata(
    path: Union[str, Path], shown_as: Optional[Union[str, Path]] = None
) -> dict[str, Any]:
    """Read the metadata of a file of :func:`save_head`, without torch and without the tensors.

    Args:
        path: weight file.
        shown_as: file named in messages, if ``path`` is a copy of it.

    Raises:
        WeightsError: it is not such a file.
    """
    try:
        with Path(path).open("rb") as stream:
            # Safetensors: eight bytes with the length of the header, the header, the tensors.
            length = int.from_bytes(stream.read(8), "little")
            if length > _LONGEST_HEADER:
                raise ValueError(length)
            header = json.loads(stream.read(length))
        return dict(json.loads(header["__metadata__"]["changescribe"]))
    except (OSError, KeyError, ValueError, TypeError) as error:
        text = WeightsTexts.not_trained_here(file=Path(shown_as or path).name)
        raise WeightsError(text, details=repr(error)) from error


def _tensors(content: Any) -> State:
    torch = _need("torch")
    if not isinstance(content, dict):
        return {}
    return {str(n): value for n, value in content.items() if isinstance(value, torch.Tensor)}


def _is_torchscript(path: Path) -> bool:
    """Return whether a file is a TorchScript archive; other files of torch are zip files too."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _read_torchscript(torch: Any, path: Path, pinned_sha256: Optional[str]) -> State:
    if pinned_sha256 is None or files.sha256_of(path) != pinned_sha256:
        text = WeightsTexts.unknown_program(file=path.name)
        raise WeightsError(text, details=f"expected SHA-256: {pinned_sha256}")
    try:
        return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    except RuntimeError as error:
        text = WeightsTexts.archive_unreadable(file=path.name)
        raise WeightsError(text, details=str(error)) from error


def _need(module: str, package: str = "") -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        text = WeightsTexts.system_needs_package(package=package or module)
        raise missing_package(text, error) from error


def _some(names: list[str]) -> str:
    rest = len(names) - _SHOWN_KEYS
    more = f" and {rest} more" if rest > 0 else ""
    return (", ".join(names[:_SHOWN_KEYS]) or "none") + more
