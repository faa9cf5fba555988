# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the prompt grammar: verbs, fused nouns, and what carries no meaning."""

from __future__ import annotations

import re

from .request import APPEARED, CHANGED, REMOVED, Query

# "building", "plant", "clear" and "developments" are nouns or adjectives first and not here.
_APPEARED = """built build builds constructed construct construction constructing new newly appeared
    appear appears appearing appearance added add adds adding addition additions additional
    expanded expand expands expanding expansion extended extend extension extensions
    enlarged planted planting flooded inundated erected erect erection emerged emerge
    emergence created creation grew grow grows grown growing growth gained gain gains
    increased increase increases opened paved installed install installation developed
    established arrived formed laid rebuilt more recent recently widen widens widened widening
    broadened broadening lengthened lengthening reforested afforested"""
_REMOVED = """demolished demolish demolition demolitions demolishing removed remove removes removal
    removals removing destroyed destroy destruction destroying cleared clearing clearance
    clearings felled felling lost lose loses losing loss losses disappeared disappear
    disappears disappearing disappearance shrank shrink shrinks shrunk shrinking shrinkage
    razed logged dismantled decreased decrease decreases decline declined reduced reduction
    vanished vanish gone bulldozed drained receded burned burnt eradicated missing uprooted
    fewer less former deforested cut cutting clearcut narrowed narrowing shorten shortens
    shortened shortening"""
_CHANGED = """changed change changes changing modified modification modifications altered alteration
    alterations different differences difference differs replaced renewed happened happening
    occurred"""

#: Verb (or noun or adjective that does a verb's work) -> direction.
VERBS: dict[str, str] = {}
for _direction, _text in ((APPEARED, _APPEARED), (REMOVED, _REMOVED), (CHANGED, _CHANGED)):
    VERBS.update((_word, _direction) for _word in _text.split())

#: Verbs that give way to any other in the same clause.
WEAK = frozenset("new newly recent recently more additional fewer less former growing".split())

_FUSED_TEXT: tuple[tuple[str, tuple[Query, ...]], ...] = (
    ("deforestation deforested logging clearcut", (Query("trees", REMOVED),)),
    ("reforestation afforestation reforested afforested", (Query("trees", APPEARED),)),
    (
        "urbanisation urbanization urbanised urbanized suburbanisation suburbanization sprawl",
        (Query("buildings", APPEARED), Query("roads", APPEARED)),
    ),
    ("flooding flood floods flooded inundation inundated", (Query("water", APPEARED),)),
    ("desertification", (Query("bare ground", APPEARED),)),
    ("revegetation", (Query("grass", APPEARED), Query("trees", APPEARED))),
    ("roadbuilding", (Query("roads", APPEARED),)),
    ("housebuilding", (Query("houses", APPEARED),)),
)
#: One word that says both what and how.
FUSED: dict[str, tuple[Query, ...]] = {
    _word: _queries for _names, _queries in _FUSED_TEXT for _word in _names.split()
}
#: Fused where no other noun stands in the clause; otherwise verbs, or part of the noun.
FUSED_ALONE = frozenset(
    """flooded inundated deforested reforested afforested urbanised urbanized flood logging
    clearcut""".split()
)

#: What anything is called.
ANYTHING = frozenset("anything everything something whatever things thing any all".split())
#: Words that ask for anything where no noun follows.
PRONOUNS = frozenset("anything everything something whatever what".split())

#: Words without meaning here, wherever they stand.
FILLER = frozenset(
    """a an the this that these those some every each to for is are was were be been being am
    has have had having did do does done what which who how when where why please show find
    detect map me us i we you want see list give highlight identify locate mark look looking
    search there here area areas image images scene scenes picture pictures photo photos
    imagery layer layers since until now it its their they them many much number amount can
    could would should will my our out over time date dates currently just already also too
    got get gets became become as up down any all of with place places exist exists existed
    stand stands stood visible seen completely entirely partly both if ever yet whether tell
    anywhere somewhere everywhere evidence signs""".split()
)

#: Prepositions after which a place or a date follows, not the target.
PLACE = frozenset(
    """in on at near along beside around between within inside across by from during before
    after since until through throughout behind under next close outside towards""".split()
)

#: Prepositions after which a place always follows: "what changed near the river" looks for
#: any change, while "what changed in the forest" looks for forest.
BESIDE = frozenset("near along beside around between within behind next close outside".split())

#: Words that name nothing, where no other word stands beside them; so does a single letter.
EMPTY = frozenset(
    """he she him her his hers ours yours theirs myself itself themselves whom whose because while
    than so such only own same very really quite rather still even yes no okay ok hello hi thanks
    thank other others another else maybe perhaps like about""".split()
)

NEGATIONS = frozenset(
    """no not nothing none without except excluding excl never ignore ignoring isn't aren't
    wasn't weren't don't didn't hasn't haven't neither nor""".split()
)

#: Nouns of two words, one of which would be read as a verb or as a filler.
NOUN_COMPOUNDS = frozenset(
    [
        "building site",
        "building sites",
        "construction site",
        "construction sites",
        "burnt area",
        "burnt areas",
        "burned area",
        "burned areas",
        "construction work",
        "construction works",
        "construction vehicles",
        "developed land",
        "logged areas",
        "railway cutting",
        "road cut",
        "road cutting",
        "short cut",
        "parking area",
        "parking areas",
        "play area",
        "play areas",
        "green area",
        "green areas",
        "paved area",
        "paved areas",
        "built-up",
        "built-up area",
        "built-up areas",
        "industrial area",
        "industrial areas",
        "residential area",
        "residential areas",
        "urban area",
        "urban areas",
    ]
)

_BE = r"(?:(?:is|are|was|were|been|being|got|has|have|had)\s+)*"
#: Between X, which went, and Y, which came.
EXCHANGES = re.compile(
    r"->|\b" + _BE + r"(?:"
    r"(?:replaced|superseded|displaced)\s+(?:by|with)|"
    r"(?:turned|turning|turns?|converted|converting|converts?|transformed|changed|changing|made)"
    r"\s+(?:in)?to|"
    r"became|becomes?|becoming|(?:gave|gives?|given|made)\s+way\s+(?:to|for)|"
    r"(?:cleared|removed|felled|cut|demolished|destroyed|lost)\s+"
    r"(?:for|to\s+(?:make\s+(?:way|room)\s+for|build)|to)"
    r")(?=\s|$)"
)
#: Between Y, which came, and X, which went.
REPLACING = re.compile(
    r"\b(?:that\s+|which\s+)?(?:replac(?:ing|es?)|displac(?:ing|es?)|(?:replaced|displaced)(?=\s+\w)|"
    r"(?:built\s+|constructed\s+|planted\s+)?(?:instead\s+of|in\s+place\s+of)|"
    r"(?:built|constructed)\s+over)(?=\s)"
)

_TOWN = r"(?:cit(?:y|ies)|towns?|urban\s+areas?|built-up\s+areas?)"
_DOWN = (
    r"(?:torn|tear(?:ing)?|tore|knock(?:ed|ing)?|cut(?:ting)?|chop(?:ped|ping)?|burn(?:ed|t)"
    r"|pull(?:ed|ing)?|taken?)"
)
#: Applied in turn to the prompt in lower case.
REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), instead)
    for pattern, instead in (
        (rf"\b{_DOWN}[\s-]+down\b", "removed"),
        (r"\bclear[\s-]?cut(?:ting)?\b", "clearcut"),
        (r"\bdried[\s-]+(?:up|out)\b", "removed"),
        (r"\b(?:put|popped|sprung|sprang|cropped|built|build)\s+up\b(?!\s+areas?)", "built"),
        (r"\bgot\s+rid\s+of\b", "removed"),
        (r"\b(?:no\s+longer|not\s+any\s*more)\b", "removed"),
        (r"\bas\s+well\s+as\b", ","),
        (r"\b(?:other\s+than|apart\s+from|but\s+no[tr]?|rather\s+than)\b", ", except"),
        (r"\bbut\b", ","),
        (r"\b(?:took|taken|take|takes|taking)\s+place\b", "happened"),
        (r"\b(?:a\s+)?lots?\s+of\b", ""),
        (
            r"\b(?:conversion|transformation|transition|change|shift)s?\s+(?:of|from)\s+(?=.+\sto\s)",
            "from ",
        ),
        (r"^from\s+(.+?)\s+(?:in)?to\s+", r"\1 -> "),
        (
            r"\bbetween\s+(?:the\s+)?(?:two\s+)?(?:dates|images|years|layers)\b",
            "",
        ),
        (r"\bbefore\s+and\s+after\b", ""),
        (
            rf"\b(?:urban|suburban|{_TOWN})\s+(?:growth|expansion|extension|spread|development)\b",
            "urbanisation",
        ),
        (
            rf"\b(?:growth|expansion|extension|spread)\s+of\s+(?:the\s+)?{_TOWN}\b",
            "urbanisation",
        ),
    )
)

_COMPASS = r"(?:(?:north|south)(?:[\s-]?(?:east|west))?|east|west|cent(?:re|er)|middle)"
_NUMBER = r"\d+(?:[.,]\d+)*"
_MEASURE = (
    r"(?:\s*(?:m2|m\u00b2|km2|km\u00b2|sqm|ha|hectares?|acres?|square\s+\w+|sq\s+\w+|met(?:re|er)s?"
    r"|kilomet(?:re|er)s?|m|km|feet|ft|pixels?|px|%|percent|years?|months?|days?)(?!\w))?"
)
#: How large, when, and where by the compass: what the prompt cannot say. Read before all else,
#: since numbers hold commas, and what is left must still be a prompt.
ASIDES: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern)
    for pattern in (
        r"\b(?:not?\s+)?(?:\w+er\s+than|more\s+than|less\s+than|at\s+least|at\s+most|over|under"
        r"|above|below|up\s+to|about)\s+(?:about\s+)?" + _NUMBER + _MEASURE,
        r"(?<!-)[<>]=?\s*" + _NUMBER + _MEASURE,
        r"\bwithin\s+" + _NUMBER + _MEASURE + r"(?:\s+(?:of|from)\s+(?:an?\s+|the\s+)?\w+)?",
        r"\b(?:between|from)\s+\d+\s+(?:and|to)\s+\d+\b" + _MEASURE,
        r"\b(?:in|since|after|before|until|from|by|during)\s+(?:early\s+|late\s+)?(?:19|20)\d\d\b",
        r"\b(?:in|at|on|to|towards|near|from)\s+(?:the\s+)?(?:far\s+)?" + _COMPASS + r"(?:ern)?\b"
        r"(?:\s+(?:part|side|half|corner|end|edge|quarter)s?\b)?"
        r"(?:\s+of\s+(?:the\s+)?\w+)?",
    )
)
