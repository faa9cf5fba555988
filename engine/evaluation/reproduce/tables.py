# SPDX-License-Identifier: GPL-3.0-or-later
"""The papers' tables as published, and the recipe that each of their rows stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import yaml

from ...errors import InputError
from ..texts import EvaluationTexts

_FOLDER = Path(__file__).parent
#: Preset with the sizes and encoders of the paper.
FULL = "full"
PRESETS = (FULL, "small")
MASK, CAPTION, SEMANTIC = "mask", "caption", "semantic"


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        method: as in the paper.
        published: data set -> figures, in the order of the table's columns; None where the paper
            has none.
        values: ``KEY=VALUE`` of the recipe, after those of the table; None for a method of others,
            which is not trained here.
        parts: what the paper used in this row, by key of the section ``model``, where it is not
            that of the paper's other rows.
        perturb: disturbances of the test images, see :data:`.rows.PERTURBATIONS`.
        needs: why the row cannot be trained; empty if it can.
        small: whether the preset ``small`` has the row.
    """

    method: str
    published: dict[str, list[Optional[float]]] = field(default_factory=dict)
    values: Optional[list[str]] = None
    parts: dict[str, str] = field(default_factory=dict)
    perturb: list[str] = field(default_factory=list)
    needs: str = ""
    small: bool = True


@dataclass(frozen=True)
class Table:
    """A table of a paper.

    Attributes:
        paper: name of the file, which is that of the system.
        number: as printed in the paper.
        title: what the table compares.
        source: the paper.
        kind: ``"mask"``, ``"caption"`` or ``"semantic"``.
        unit: the published figures are shares of this number: 100 for per cent.
        columns: name in the paper -> figure, see :func:`.rows.figures_of`.
        sets: data set -> preset -> its settings: ``values`` of the recipe, and ``test``, the part
            to measure on. A preset that is missing has no such set.
        recipes: preset -> ``recipe`` and ``values``.
        parts: what the paper used, by key of the section ``model``.
        rows: in the paper's order.
        note: what the paper leaves open.
    """

    paper: str
    number: str
    title: str
    source: str
    kind: str
    unit: float
    columns: dict[str, str]
    sets: dict[str, dict[str, dict[str, Any]]]
    recipes: dict[str, dict[str, Any]]
    parts: dict[str, str]
    rows: list[Row]
    note: str = ""


def papers() -> tuple[str, ...]:
    """Return the papers that have tables."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def load_tables(paper: str) -> dict[str, Table]:
    """Return the tables of a paper by number, in its order.

    Raises:
        InputError: there is no such paper.
    """
    path = _FOLDER / f"{paper}.yaml"
    if paper not in papers():
        raise InputError(EvaluationTexts.no_paper(paper=paper, known=", ".join(papers())))
    return read_tables(path)


def read_tables(path: Path) -> dict[str, Table]:
    """Read a file of tables; the keys of a table replace those of the paper."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    tables = content.pop("tables")
    result = {}
    for number, own in tables.items():
        merged = {"parts": {}, "unit": 100, **content, **own}
        names = merged.pop("use", list(merged["sets"]))
        merged["sets"] = {name: merged["sets"][name] for name in names}
        rows = [_row(row, names) for row in merged.pop("rows")]
        result[str(number)] = Table(paper=path.stem, number=str(number), rows=rows, **merged)
    return result


def _row(content: dict[str, Any], sets: Sequence[str]) -> Row:
    """Read a row; figures without the name of a data set are those of the table's only one."""
    published = content.pop("published", {})
    if isinstance(published, list):
        published = {sets[0]: published}
    return Row(published=published, **content)


def find_table(paper: str, number: str) -> Table:
    """Return a table; ``3`` and ``III`` name the same.

    Raises:
        InputError: the paper has no such table here.
    """
    tables = load_tables(paper)
    roman = dict(zip("123456", ("I", "II", "III", "IV", "V", "VI"), strict=True))
    for name in (number, number.upper(), roman.get(number, "")):
        if name in tables:
            return tables[name]
    known = ", ".join(tables)
    raise InputError(EvaluationTexts.no_table(paper=paper, table=number, known=known))


def listing() -> str:
    """Return all tables as text, a line each."""
    lines = []
    for paper in papers():
        for table in load_tables(paper).values():
            own = sum(row.values is not None and not row.needs for row in table.rows)
            sets = ", ".join(table.sets)
            lines.append(
                f"{paper} {table.number:<5} {table.title} ({sets}; {own} of {len(table.rows)} rows "
                "can be trained here)"
            )
    return "\n".join(lines)
