# SPDX-License-Identifier: GPL-3.0-or-later
"""A paper's table with ours beside it, as markdown and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from ..texts import EvaluationTexts
from .rows import Outcome
from .tables import CAPTION, Table

_NONE = "-"


def as_markdown(table: Table, outcomes: Sequence[Outcome]) -> str:
    """Return a table per data set: each figure of the paper, ours to its right.

    What all measured rows have in place of the paper's parts stands below, the rest in the row.
    """
    lines = [f"{table.source}, table {table.number}: {table.title}"]
    heads = [text for name in table.columns for text in (name, "ours")]
    for dataset in table.sets:
        rows = [outcome for outcome in outcomes if outcome.dataset == dataset]
        common = _common(rows)
        lines += ["", f"**{dataset}**", "", _line(["Method", *heads, "Row"])]
        lines.append("|" + "---|" * (len(heads) + 2))
        lines += [_line(_cells(table, outcome, common)) for outcome in rows]
        if common:
            lines += ["", "; ".join(common) + "."]
    notes = [table.note] if table.note else []
    if table.kind == CAPTION:
        notes.append(EvaluationTexts.caption_convention())
    lines += ["", " ".join(notes)] if notes else []
    return "\n".join(lines) + "\n"


def _common(rows: Sequence[Outcome]) -> list[str]:
    """Return the differences that all measured rows share."""
    own = [outcome.differs for outcome in rows if outcome.figures is not None]
    return [text for text in own[0] if all(text in other for other in own)] if own else []


def _cells(table: Table, outcome: Outcome, common: Sequence[str]) -> list[str]:
    cells = [outcome.row.method]
    published = outcome.row.published.get(outcome.dataset) or [None] * len(table.columns)
    for theirs, name in zip(published, table.columns.values(), strict=True):
        ours = None if outcome.figures is None else outcome.figures.get(name)
        cells += [_number(theirs, table.unit), _number(_scaled(ours, table.unit), table.unit)]
    own = [text for text in outcome.differs if text not in common]
    return [*cells, "; ".join((outcome.state, *own))]


def _scaled(share: Optional[float], unit: float) -> Optional[float]:
    return None if share is None else share * unit


def _number(value: Optional[float], unit: float) -> str:
    """Return a figure with two digits of per cent."""
    return _NONE if value is None else f"{value:.{2 if unit == 100 else 4}f}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def as_json(table: Table, outcomes: Sequence[Outcome], preset: str) -> dict[str, Any]:
    """Return the table as plain values; figures in the paper's unit."""
    return {
        "paper": table.paper,
        "table": table.number,
        "title": table.title,
        "preset": preset,
        "unit": table.unit,
        "note": table.note,
        "rows": [
            {
                "method": outcome.row.method,
                "dataset": outcome.dataset,
                "published": dict(
                    zip(
                        table.columns,
                        outcome.row.published.get(outcome.dataset) or [],
                        strict=False,
                    )
                ),
                "ours": None
                if outcome.figures is None
                else {
                    name: _scaled(outcome.figures.get(key), table.unit)
                    for name, key in table.columns.items()
                },
                "state": outcome.state,
                "in_place_of": outcome.differs,
                "run": outcome.run,
            }
            for outcome in outcomes
        ],
    }
