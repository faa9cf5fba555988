# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of labelled pairs in their published folder layouts, by name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from ...errors import InputError
from ..recipe import DataSpec
from ..texts import TrainingTexts
from .base import PairSet, Window

__all__ = ["PairSet", "Window", "layouts", "open_pairs"]

#: name -> (module in this package, class or function).
_LAYOUTS: dict[str, tuple[str, str]] = {
    "levir_cd": ("binary", "LevirCd"),
    "whu_cd": ("whu", "whu_cd"),
    "sysu_cd": ("binary", "SysuCd"),
    "second": ("second", "Second"),
    "levir_cc": ("levir", "LevirCc"),
    "levir_mci": ("levir", "LevirMci"),
    "levir_tiles": ("levir", "LevirTiles"),
    "levir_crops": ("levir", "LevirCrops"),
    "geotiff": ("geotiff", "GeoTiffPairs"),
}


def layouts() -> tuple[str, ...]:
    """Return the names of all layouts."""
    return tuple(_LAYOUTS)


def open_pairs(spec: DataSpec, root: Path) -> PairSet:
    """Open a set of pairs; images are read lazily.

    Raises:
        InputError: unknown layout or option, or the folder has another layout.
    """
    if spec.layout not in _LAYOUTS:
        raise InputError(TrainingTexts.no_layout(layout=spec.layout, known=", ".join(_LAYOUTS)))
    module, opener = _LAYOUTS[spec.layout]
    return getattr(import_module(f".{module}", __name__), opener)(spec, root / spec.folder)
