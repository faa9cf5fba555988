# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place that reads weight files.

Tensors come from safetensors, or from ``torch.load`` with ``weights_only=True``:
nothing else is ever unpickled. The one other format is OpenAI's CLIP, which is
published as a TorchScript archive: that is a program, so it is opened only if
its SHA-256 is the one that the catalogue pins, and only its tensors are kept.

The functions build the true architecture from the installed package, without
the network, and fill it: every key must fit.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from ..errors import WeightsError, missing_package
from . import files

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    State = dict[str, torch.Tensor]

#: Hiera sizes of SAM 2.1 -> their configuration in the package sam2.
SAM2_CONFIGURATIONS = {
    "tiny": "sam2.1_hiera_t",
    "small": "sam2.1_hiera_s",
    "base_plus": "sam2.1_hiera_b+",
    "large": "sam2.1_hiera_l",
}
#: What OpenAI's archives hold besides weights.
_OPENAI_EXTRAS = ("input_resolution", "context_length", "vocab_size")
#: Keys under which training programs put the weights, the likeliest first.
_WRAPPERS = ("model", "state_dict")
_SHOWN_KEYS = 5
#: Bytes that safetensors itself allows for a header.
_LONGEST_HEADER = 100_000_000
_GET_AGAIN = "Get the file again, or choose the one that belongs to this system."


def read(path: Union[str, Path], pinned_sha256: Optional[str] = None) -> Any:
    """Read a weight file onto the CPU.

    Args:
        path: safetensors, a file of ``torch.save``, or a TorchScript archive.
        pinned_sha256: that of the catalogue; a TorchScript archive is read only if it has it.

    Returns:
        What the file holds: for safetensors and TorchScript a dict of tensors.

    Raises:
        WeightsError: it is missing, cut short, or holds more than tensors.
        DependencyError: torch or safetensors is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f'The weight file "{path}" is missing.', _GET_AGAIN)
    if path.suffix == ".safetensors":
        return read_safetensors(path)[0]
    torch = _need("torch")
    if _is_torchscript(path):
        return _read_torchscript(torch, path, pinned_sha256)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's readers raise whatever their parts do
        raise WeightsError(
            f'"{path.name}" is not a file of weights that can be read safely.',
            "It is cut short, or holds programs besides numbers, which are never run.",
            f"{path}\n{error}",
        ) from error


def read_safetensors(path: Union[str, Path]) -> tuple[State, dict[str, str]]:
    """Read a safetensors file: its tensors on the CPU, and its metadata.

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
        raise WeightsError(
            f'"{Path(path).name}" cannot be read as safetensors.', _GET_AGAIN, f"{path}\n{error}"
        ) from error


def state_dict(
    path: Union[str, Path], prefix: str = "", pinned_sha256: Optional[str] = None
) -> State:
    """Return the tensors of a weight file by name.

    Args:
        path: of the file.
        prefix: keep the names that begin with it, without it.
        pinned_sha256: see :func:`read`.

    Raises:
        WeightsError: it holds no tensors, or none under the prefix.
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
        what = f'no weights named "{prefix}..."' if tensors else "no weights"
        raise WeightsError(f'"{Path(path).name}" holds {what}.', _GET_AGAIN, str(path))
    return found


def fill(module: torch.nn.Module, state: Mapping[str, torch.Tensor], name: str) -> None:
    """Copy weights into a module whose keys and shapes must all fit, and freeze nothing.

    Args:
        module: to be filled.
        state: tensors by name.
        name: of the file, for the message.

    Raises:
        WeightsError: keys are missing or left over, or shapes differ.
    """
    wanted = module.state_dict()
    missing = [key for key in wanted if key not in state]
    unexpected = [key for key in state if key not in wanted]
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    if missing or unexpected or shapes:
        raise WeightsError(
            f'"{name}" does not hold the weights of this model.',
            _GET_AGAIN,
            f"missing: {_some(missing)}\nunexpected: {_some(unexpected)}\n"
            f"of another shape: {_some(shapes)}",
        )
    module.load_state_dict(dict(state))


def hiera_trunk(path: Union[str, Path], size: str) -> torch.nn.Module:
    """Return the Hiera trunk of a SAM 2.1 checkpoint, as ``build_sam2`` takes it.

    Args:
        path: checkpoint, a dict with the key ``"model"``.
        size: one of :data:`SAM2_CONFIGURATIONS`.

    Returns:
        ``sam2.modeling.backbones.hieradet.Hiera`` in evaluation mode: (B, 3, H, W) float32
        to four maps at strides 4, 8, 16, 32.

    Raises:
        WeightsError: it is not a checkpoint of that size.
        DependencyError: sam2 is not installed.
    """
    trunk = hiera_architecture(size)
    fill(trunk, state_dict(path, "image_encoder.trunk."), Path(path).name)
    return trunk.eval()


def hiera_architecture(size: str) -> torch.nn.Module:
    """Return a Hiera trunk of SAM 2.1 with random weights, as the package's own YAML says.

    Args:
        size: one of :data:`SAM2_CONFIGURATIONS`.

    Raises:
        DependencyError: sam2 is not installed.
    """
    sam2 = _need("sam2")
    from omegaconf import OmegaConf
    from sam2.modeling.backbones.hieradet import Hiera

    folder = Path(next(iter(sam2.__path__))) / "configs" / "sam2.1"
    config = OmegaConf.load(folder / f"{SAM2_CONFIGURATIONS[size]}.yaml")
    options = OmegaConf.to_container(config.model.image_encoder.trunk)
    return Hiera(**{key: value for key, value in options.items() if key != "_target_"})


def sam2_model(path: Union[str, Path], size: str) -> torch.nn.Module:
    """Return a whole SAM 2.1 model on the CPU, in evaluation mode.

    Args:
        path: checkpoint, a dict with the key ``"model"``.
        size: one of :data:`SAM2_CONFIGURATIONS`.

    Raises:
        WeightsError: it is not a checkpoint of that size.
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
        path: what open_clip takes as ``pretrained=``, or OpenAI's archive.
        architecture: open_clip's name, such as ``"ViT-B-16-quickgelu"`` for OpenAI's weights.
        pinned_sha256: of the catalogue, for OpenAI's archive.

    Raises:
        WeightsError: the file holds other weights.
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
    # Without its own text or image weights, which open_clip would fetch.
    return open_clip.create_model(architecture, pretrained=None, pretrained_text=False)


def clip_text(
    path: Union[str, Path], architecture: str, pinned_sha256: Optional[str] = None
) -> torch.nn.Module:
    """Return a CLIP without its image tower, whose memory is free again; see :func:`clip`."""
    model = clip(path, architecture, pinned_sha256)
    model.visual = None
    return model


def resnet(path: Union[str, Path], architecture: str) -> torch.nn.Module:
    """Return a ResNet of torchvision with its classifier, in evaluation mode.

    Args:
        path: file of torchvision's weights.
        architecture: ``"resnet18"``, ``"resnet34"`` or ``"resnet50"``.

    Raises:
        WeightsError: the file holds other weights.
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
    """Return a model, tokenizer or processor from a folder as transformers saves it.

    No code of the folder is run and nothing is fetched. Weights come from safetensors where
    there are any, else from files read with ``weights_only=True``.

    Args:
        folder: with ``config.json``.
        part: a class of transformers, such as ``"AutoTokenizer"``.
        options: handed on, such as ``dtype``.

    Raises:
        WeightsError: the folder lacks files, or needs code of its own.
        DependencyError: transformers is not installed.
    """
    transformers = _need("transformers")
    folder = Path(folder)
    # A GGUF file has the configuration in it.
    if not (folder / options.get("gguf_file", "config.json")).is_file():
        raise WeightsError(f'"{folder}" is not a folder of transformers.', _GET_AGAIN)
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
        raise WeightsError(
            f'The model in "{folder.name}" cannot be loaded.',
            "The folder lacks files, or its model needs code of its own, which is never run.",
            f"{folder}\n{error!r}",
        ) from error


def save_head(state: State, path: Union[str, Path], metadata: dict[str, Any]) -> None:
    """Write trained weights as safetensors; the entry format ``changescribe_safetensors``.

    Args:
        state: what was trained.
        path: of the file; written beside its name, then renamed.
        metadata: what builds the module again; JSON.
    """
    _need("safetensors")
    from safetensors.torch import save_file

    path = Path(path)
    half = path.with_name(f"{path.name}.part")
    tensors = {n: value.detach().cpu().contiguous() for n, value in state.items()}
    save_file(tensors, str(half), {"changescribe": json.dumps(metadata)})
    half.replace(path)


def read_head(path: Union[str, Path]) -> tuple[State, dict[str, Any]]:
    """Read what :func:`save_head` wrote: tensors and metadata.

    Raises:
        WeightsError: it is not such a file.
    """
    return read_safetensors(path)[0], head_metadata(path)


def head_metadata(path: Union[str, Path]) -> dict[str, Any]:
    """Read the metadata that :func:`save_head` wrote, without torch and without the tensors.

    Raises:
        WeightsError: it is not such a file.
    """
    try:
        with Path(path).open("rb") as stream:
            # The format of safetensors: the header's length in eight bytes, the header, tensors.
            length = int.from_bytes(stream.read(8), "little")
            if length > _LONGEST_HEADER:
                raise ValueError(length)
            header = json.loads(stream.read(length))
        return dict(json.loads(header["__metadata__"]["changescribe"]))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise WeightsError(
            f'"{Path(path).name}" was not made by "changescribe train".', _GET_AGAIN, repr(error)
        ) from error


def _tensors(content: Any) -> State:
    torch = _need("torch")
    if not isinstance(content, dict):
        return {}
    return {str(n): value for n, value in content.items() if isinstance(value, torch.Tensor)}


def _is_torchscript(path: Path) -> bool:
    """Tell a TorchScript archive from other files of torch, which are zip archives as well."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _read_torchscript(torch: Any, path: Path, pinned_sha256: Optional[str]) -> State:
    if pinned_sha256 is None or files.sha256_of(path) != pinned_sha256:
        raise WeightsError(
            f'"{path.name}" holds a program (TorchScript), and is not one that is known.',
            "Use the weights as safetensors.",
            f"expected SHA-256: {pinned_sha256}",
        )
    try:
        return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    except RuntimeError as error:
        raise WeightsError(f'"{path.name}" cannot be read.', _GET_AGAIN, str(error)) from error


def _need(module: str, package: str = "") -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise missing_package(
            f"This system needs the package {package or module}, which is not installed here.",
            error,
        ) from error


def _some(names: list[str]) -> str:
    rest = len(names) - _SHOWN_KEYS
    more = f" and {rest} more" if rest > 0 else ""
    return (", ".join(names[:_SHOWN_KEYS]) or "none") + more
