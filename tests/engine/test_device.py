# SPDX-License-Identifier: GPL-3.0-or-later
"""The choice of a device for PyTorch, on simulated machines."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from changescribe.engine import device

pytestmark = pytest.mark.torch


@pytest.fixture
def card(monkeypatch):
    """A GPU of a generation chosen by the test."""
    properties = SimpleNamespace(name="Test card", total_memory=24e9, major=8, minor=9)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    return properties


def test_gpu_where_there_is_one_in_the_precision_that_it_has(card):
    assert device.choose("auto").text == "CUDA (Test card, 24 GB), bfloat16"
    card.major = 7
    assert device.choose("cuda").precision == "float16"


def test_the_cpu_is_described_with_its_reason(card, monkeypatch):
    assert device.choose("cpu").text.endswith("as chosen")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    chosen = device.choose("cuda")
    assert (chosen.name, chosen.precision) == ("cpu", "float32")
    assert "no CUDA device" in chosen.text


def test_autocast_computes_in_the_precision_named():
    product = torch.ones(2, 2)
    with device.Device("cpu", "bfloat16", "").autocast():
        assert (product @ product).dtype == torch.bfloat16
    with device.Device("cpu", "float32", "").autocast():
        assert (product @ product).dtype == torch.float32
