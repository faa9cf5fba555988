# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles of the property-based tests: a seeded sample, or 10,000 cases (``make test-slow``)."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_COMMON = {
    # A case that takes longer hangs, for the user.
    "deadline": 10_000,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    "database": None,
}
settings.register_profile("sample", max_examples=30, derandomize=True, **_COMMON)
#: The nine tests of this folder together run more than 10,000 cases.
settings.register_profile("thorough", max_examples=1200, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "sample"))
