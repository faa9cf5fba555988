# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for regions of bare ground and water."""

from __future__ import annotations

from .base import ClassRules


class BareGroundRules(ClassRules):
    """New roads and building sites look like bare ground in coarse pixels."""

    coarse_kind = "built"


class WaterRules(ClassRules):
    """Water turns green or muddy and stays water: its colour shows no change."""

    coarse_kind = ""
