# SPDX-License-Identifier: GPL-3.0-or-later
"""Text to queries: (object, direction) pairs.

A prompt is cut into clauses (commas, "and", "or"). A clause is a noun phrase with a verb on
either side; a noun phrase alone, which takes the verb of its neighbours ("roads and buildings
built", "new roads and buildings"); or a verb alone, which goes to the nouns before it ("roads
built or removed"). "X replaced by Y" is X removed and Y appeared, each in the place of the other.

Decisions that are not obvious:

- Nothing is corrected. A misspelt noun is passed on as written and shown in the explanation; a
  misspelt verb becomes part of the noun. Where one letter makes the difference, the prompt that
  may have been meant is suggested.
- The usual words of some other languages are translated into English first.
- "Houses on former forest" are houses that appeared and whose ground was forest; "houses on
  grass" are houses, and "on grass" is ignored.
- A negation ("no roads", "buildings but not sheds") names what is *not* wanted, up to the next
  comma, and is left out. A prompt with nothing else is an error, but "everything except water" is
  every class without water.
- Place, time and size ("along the river", "since 2015", "larger than 1 ha") are ignored, and the
  user is warned: the area analysed, the layers and the minimum area set them.
- "Flooded fields" are water that appeared, not fields.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Optional

from ..classes import class_of, is_line
from ..errors import InputError
from ..lexicon.nouns import GROUPS
from ..lexicon.small_words import ANYTHING, BESIDE, FILLER, NEGATIONS, PLACE, PRONOUNS
from ..lexicon.verbs import PROMPT_VERBS as VERBS
from ..messages import Text
from ..request import APPEARED, CHANGED, REMOVED, Hints, ParsedPrompt, Query
from .clauses import WORD, Clause, names_of, nouns_of, read_clauses, without_negated
from .explain import BoundQuery, compose, explain, line_of, notes
from .languages import in_english
from .patterns import ASIDES, EXCHANGES, FORMERLY, REPLACING, REWRITES, WHERE
from .texts import PromptTexts
from .typos import suggestion

__all__ = ["compose", "explain", "notes", "parse", "resolve"]

_EXCEPTION = re.compile(
    r"^(.*?)[\s,]*\b(?:except(?:\s+for)?|excluding|excl|without|ignoring|ignore|not)\s+(.+)$"
)
#: Control characters, halves of UTF-16 pairs, and what changes the direction of writing.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]+")
#: Characters of a prompt; the time to read one grows with the square.
MAX_LENGTH = 1000
_BARE_EXCHANGE = re.compile(r"^(?:from\s+)?(.+?)\s+(?:in)?to\s+(.+)$")


def parse(text: str) -> ParsedPrompt:
    """Read a prompt in English or in the usual words of another language.

    Control characters become spaces.

    Raises:
        InputError: the prompt is empty, too long, or names no object.
    """
    if len(text) > MAX_LENGTH:
        raise InputError(PromptTexts.too_long(count=len(text), limit=MAX_LENGTH))
    text = _CONTROLS.sub(" ", text)
    english = in_english(text)
    clean = _normalise(english or text)
    if not WORD.search(clean):
        raise InputError(PromptTexts.empty())
    rest, ignored = _without_asides(clean)
    meant = "" if english else suggestion(clean)
    parsed = ParsedPrompt(text, (), suggestion=meant, english=english)
    anything = _anything(rest, ignored)
    if anything is not None:
        parsed = replace(parsed, anything=True, unused=_in_order(ignored, clean))
        line = PromptTexts.looks_for(what=anything.text)
        return replace(parsed, explanation=line_of(parsed, line))
    bound = list(dict.fromkeys(_read(rest, ignored)))
    if not bound:
        hint = PromptTexts.did_you_mean(prompt=meant) if meant else None
        raise InputError(PromptTexts.no_object(hint=hint, prompt=text.strip()))
    queries = tuple(Query(query.object, query.direction) for query in bound)
    unused = _in_order([part for part in ignored if _matters(part, queries)], clean)
    partners = tuple(query.partners for query in bound)
    hints = Hints(partners=partners if any(partners) else ())
    parsed = replace(parsed, queries=queries, unused=unused, hints=hints)
    return replace(parsed, explanation=line_of(parsed, explain(bound)))


def resolve(
    parsed: ParsedPrompt, class_plurals: Sequence[str], directed: bool = True
) -> ParsedPrompt:
    """Replace "anything" by a system's classes; return any other prompt as it is.

    "Anything" becomes a query per class and direction: one direction for prompts such as "what was
    built?", and "changed" for a system that is not ``directed``.

    Raises:
        InputError: the prompt means anything, and the system has no classes or the prompt
            excludes all of them.
    """
    if not parsed.anything:
        return parsed
    if not class_plurals:
        raise InputError(PromptTexts.no_classes())
    anything = _anything(_without_asides(_normalise(parsed.english or parsed.text))[0], [])
    if anything is None:
        raise ValueError(f'The prompt "{parsed.text}" does not mean anything at all.')
    names = [name for name in class_plurals if _class_name(name) not in anything.without]
    if not names:
        raise InputError(
            PromptTexts.nothing_left(prompt=parsed.text.strip(), classes=", ".join(class_plurals))
        )
    either = directed and anything.direction == CHANGED
    ways = (APPEARED, REMOVED) if either else (anything.direction,)
    queries = tuple(Query(name, way) for name in names for way in ways)
    listed = PromptTexts.with_details(what=anything.text, details=", ".join(names))
    line = PromptTexts.looks_for(what=listed)
    return replace(parsed, queries=queries, explanation=line_of(parsed, line))


def _normalise(text: str) -> str:
    """Lower case, plain apostrophes, full stops as commas, two-word verbs as one word."""
    clean = text.lower().replace("\u2019", "'").replace("\u2018", "'").replace("\u2192", "->")
    clean = re.sub(r"\b(that|what|where|which|who|there|it)'s\b", r"\1 is", clean)
    clean = re.sub(r"[^\w\s'.,;/+&|<>=%-]", " ", clean)
    clean = re.sub(r"\.(?=\s|$)", " , ", clean)
    clean = re.sub(r"(?<!\w)-(?!>)|-(?![\w>])", " ", clean)
    clean = " ".join(clean.split())
    for pattern, instead in REWRITES:
        clean = pattern.sub(instead, clean)
    return " ".join(clean.split()).strip(" ,;.")


def _without_asides(clean: str) -> tuple[str, list[str]]:
    """Split the prompt from its sizes, times and compass directions."""
    ignored: list[str] = []
    for pattern in ASIDES:
        ignored += [" ".join(match.group().split()) for match in pattern.finditer(clean)]
        clean = re.sub(r"^\s*of\s|(?<=,)\s*of\s", " ", pattern.sub(" ", clean))
    return " ".join(clean.split()).strip(" ,;"), ignored


def _in_order(ignored: Sequence[str], clean: str) -> tuple[str, ...]:
    """Return parts of the prompt without duplicates, in its order."""
    return tuple(sorted(dict.fromkeys(ignored), key=clean.find))


def _matters(part: str, queries: Sequence[Query]) -> bool:
    """Whether ignoring a part of the prompt can change what is found.

    In "roads, no buildings" it cannot; "houses, no sheds" finds sheds too, which are buildings to
    the model.
    """
    words = part.split()
    if words[0] not in NEGATIONS or any(character.isdigit() for character in part):
        return True
    kinds = [class_of(noun) for noun in nouns_of(" ".join(words[1:]), [])]
    kept = [class_of(query.object) for query in queries]
    return any(kind is None or kind in kept for kind in kinds)


@dataclass(frozen=True)
class _Anything:
    """Any change, in one direction or both ("changed"), except of the classes ``without``."""

    direction: str
    without: tuple[str, ...] = ()
    named: str = ""

    @property
    def text(self) -> Text:
        """For the user."""
        what = PromptTexts.any_change()
        if self.direction != CHANGED:
            what = PromptTexts.anything(direction=self.direction)
        if not self.named:
            return what
        return PromptTexts.anything_except(anything=what, classes=self.named)


def _anything(clean: str, ignored: list[str]) -> Optional[_Anything]:
    """Read a prompt for any change; None if it names an object.

    Places and exceptions that cannot be excluded are added to ``ignored``.
    """
    match = _EXCEPTION.match(clean)
    if match is None or match.group(1).split()[-1:] == ["nothing"]:
        direction = _any_direction(clean, ignored)
        return None if direction is None else _Anything(direction)
    direction = _any_direction(match.group(1), ignored)
    if direction is None:
        return None
    nouns = [
        noun for name in nouns_of(match.group(2), ignored) for noun in GROUPS.get(name, (name,))
    ]
    known = [noun for noun in nouns if class_of(noun) is not None]
    ignored += [f"except {noun}" for noun in nouns if noun not in known]
    return _Anything(direction, tuple(_class_name(n) for n in known), " and ".join(known))


def _class_name(noun: str) -> str:
    land_cover = class_of(noun)
    return noun if land_cover is None else land_cover.name


def _any_direction(clean: str, ignored: list[str]) -> Optional[str]:
    """Return the direction of a prompt for any change; None if it names an object."""
    words = WORD.findall(clean)
    if NEGATIONS & set(words):
        return None
    general = bool(PRONOUNS & set(words)) or (bool(words) and set(words) <= ANYTHING)
    found: list[str] = []
    for index, word in enumerate(words):
        if word in FILLER or word in ANYTHING:
            continue
        if word in PLACE and general and found and (found[-1] != CHANGED or word in BESIDE):
            ignored.append(" ".join(words[index:]))  # "what was built in the forest?"
            break
        if word not in VERBS:
            if word not in PLACE:
                return None
            continue
        found.append(VERBS[word])
    directed = {direction for direction in found if direction != CHANGED}
    if general and len(directed) == 1:
        return directed.pop()
    # "built" alone says nothing; "changes" and "everything" do.
    return CHANGED if (found and not directed) or general else None


def _read(clean: str, ignored: list[str]) -> list[BoundQuery]:
    """Read the queries; ignored parts are added to ``ignored``."""
    parts = [part for part in re.split(r"\s*[,;]\s*", clean) if part]
    whole = [bool(_bound(part, [])) or _is_whole(part) for part in parts]
    if len(parts) > 1 and all(whole) and any(_bound(part, []) for part in parts):
        return [query for part in parts for query in _read(part, ignored)]
    bound = _bound(clean, ignored)
    if bound:
        return bound
    clauses = read_clauses(without_negated(clean, ignored), ignored)
    return [BoundQuery(query.object, query.direction) for query in _distribute(clauses)]


def _is_whole(part: str) -> bool:
    """Whether a clause has noun and verb or a negation, and so needs no neighbours."""
    words = part.split()
    if words[0] in NEGATIONS:
        return True
    return any(c.events or (c.noun and c.direction) for c in read_clauses(part, []))


def _bound(clean: str, ignored: list[str]) -> list[BoundQuery]:
    """Read "X replaced by Y", "Y replacing X", "X -> Y" and "Y on former X"."""
    for pattern, swapped in ((EXCHANGES, False), (REPLACING, True)):
        match = pattern.search(clean)
        if match is not None:
            left, right = clean[: match.start()], clean[match.end() :]
            gone, come = (right, left) if swapped else (left, right)
            extra: list[str] = []
            gone_nouns = nouns_of(re.sub(r"^from\s", "", gone), extra)
            come_nouns = nouns_of(come, extra)
            if come_nouns and (gone_nouns or not swapped):  # "replaced roofs" is no exchange
                ignored += extra
                return _exchanged(gone_nouns, come_nouns)
    return _formerly(clean, ignored) or _bare_exchange(clean, ignored)


def _bare_exchange(clean: str, ignored: list[str]) -> list[BoundQuery]:
    """Read "from X to Y" and "X to Y", but not "the road to the airport"."""
    match = _BARE_EXCHANGE.match(clean)
    if match is None or any(VERBS.get(word, CHANGED) != CHANGED for word in clean.split()):
        return []
    extra: list[str] = []
    gone, come = (nouns_of(match.group(side), extra) for side in (1, 2))
    leads = re.match(r"(?:the|an?)\s", match.group(2)) or not all(map(class_of, come))
    if not gone or not come or match.group(1).split()[-1] in PLACE:
        return []
    if leads and is_line(gone[-1]) and not clean.startswith("from "):
        return []
    ignored += extra
    return _exchanged(gone, come)


def _formerly(clean: str, ignored: list[str]) -> list[BoundQuery]:
    """Read "Y on former X" and "Y where X was cleared": Y that appeared where X was."""
    match = FORMERLY.search(clean)
    if match is not None:
        came, former = clean[: match.start()], clean[match.end() :]
    else:
        match = WHERE.match(clean)
        if match is None:
            return []
        came, former = match.groups()
    extra: list[str] = []
    clauses = read_clauses(without_negated(came, extra), extra)
    was = nouns_of(former, extra)
    if not was or any(clause.direction == REMOVED for clause in clauses):
        return []
    nouns = [noun for clause in clauses for noun in names_of(clause)]
    if nouns:
        ignored += extra
    return [BoundQuery(noun, APPEARED, tuple(was)) for noun in nouns]


def _exchanged(gone: Sequence[str], come: Sequence[str]) -> list[BoundQuery]:
    """Return queries of both sides of an exchange, each with the other as partner."""
    removed = [BoundQuery(noun, REMOVED, tuple(come)) for noun in gone]
    return removed + [BoundQuery(noun, APPEARED, tuple(gone)) for noun in come]


def _distribute(clauses: list[Clause]) -> list[Query]:
    """Assign verbs to nouns; a verb alone goes to the nouns before it."""
    queries: list[Query] = []
    group: list[str] = []  # nouns for a verb alone
    pending: list[str] = []  # verbs alone before any noun: "built and demolished roads"
    for index, clause in enumerate(clauses):
        queries.extend(clause.events)
        if clause.noun:
            before = clauses[index - 1] if index else None
            if before is not None and before.direction is not None and before.noun:
                group = []
            group.append(clause.noun)
            for direction in [*pending, clause.direction or _borrowed(clauses, index)]:
                queries.extend(_both(clause.noun, direction))
            pending = []
        elif clause.direction is not None and not clause.events:
            if not group:
                pending.append(clause.direction)
            for noun in group:
                queries.extend(_both(noun, clause.direction))
    return queries


def _borrowed(clauses: list[Clause], index: int) -> str:
    """Return the direction of a noun without a verb: of the next verb, else of the last one."""
    for clause in clauses[index + 1 :]:
        if clause.direction is not None:
            if not clause.verb_first or not clause.noun:
                return clause.direction
            break
    for clause in reversed(clauses[:index]):
        if clause.direction is not None:
            return clause.direction
    return CHANGED


def _both(noun: str, direction: str) -> list[Query]:
    ways = (APPEARED, REMOVED) if direction == CHANGED else (direction,)
    return [Query(noun, way) for way in ways]
