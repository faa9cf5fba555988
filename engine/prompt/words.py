# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the prompt grammar: verbs, fused nouns, and what carries no meaning."""

from __future__ import annotations

import re

from ..request import APPEARED, CHANGED, REMOVED, Query

# "building", "plant", "clear" and "developments" are nouns or adjectives first and not here.
_APPEARED = """built build builds constructed construct construction constructing new newly appeared
    appear appears appearing appearance added add adds adding addition additions additional
    expanded expand expands expanding expansion extended extend extension extensions
    enlarged planted planting flooded inundated erected erect erection emerged emerge
    emergence created creation grew grow grows grown growing growth gained gain gains
    increased increase increases opened paved installed install installation developed
    established arrived formed laid rebuilt more recent recently widen widens widened widening
    broadened broadening lengthened lengthening reforested afforested constructs erects erecting
    expanding extending enlarge enlarges enlarging enlargement increasing installs installing
    creates creating rise rises rose risen rising dug excavated filled reclaimed replanted
    replanting regrown regrew regrowth newbuild asphalted tarmacked surfaced dumped deposited"""
_REMOVED = """demolished demolish demolition demolitions demolishing removed remove removes removal
    removals removing destroyed destroy destruction destroying cleared clearing clearance
    clearings felled felling lost lose loses losing loss losses disappeared disappear
    disappears disappearing disappearance shrank shrink shrinks shrunk shrinking shrinkage
    razed logged dismantled decreased decrease decreases decline declined reduced reduction
    vanished vanish gone bulldozed drained receded burned burnt eradicated missing uprooted
    fewer less former deforested cut cutting clearcut narrowed narrowing shorten shortens
    shortened shortening demolishes vanishing damaged damage damages collapsed collapse ruined
    wrecked flattened eroded erode erosion retreated retreat retreats retreating melted melt
    melting melts harvested harvesting fell fallen falling dropped drop depleted died dead dying
    dieback emptied stripped"""
_CHANGED = """changed change changes changing modified modification modifications altered alteration
    alterations different differences difference differs replaced renewed happened happening
    occurred moved moving shifted relocated migrated renovated refurbished repaired upgraded
    resurfaced ploughed plowed tilled"""

#: Verb (or noun or adjective that does a verb's work) -> direction.
VERBS: dict[str, str] = {}
for _direction, _text in ((APPEARED, _APPEARED), (REMOVED, _REMOVED), (CHANGED, _CHANGED)):
    VERBS.update((_word, _direction) for _word in _text.split())

#: Verbs that give way to any other in the same clause.
WEAK = frozenset("new newly recent recently more additional fewer less former growing".split())

_FUSED_TEXT: tuple[tuple[str, tuple[Query, ...]], ...] = (
    (
        """deforestation deforested logging clearcut clearing clearings clearance clearances felling
        dieback""",
        (Query("trees", REMOVED),),
    ),
    ("reforestation afforestation reforested afforested", (Query("trees", APPEARED),)),
    (
        "urbanisation urbanization urbanised urbanized suburbanisation suburbanization sprawl",
        (Query("buildings", APPEARED), Query("roads", APPEARED)),
    ),
    ("flooding flood floods flooded inundation inundated", (Query("water", APPEARED),)),
    ("desertification", (Query("bare ground", APPEARED),)),
    ("revegetation greening regrowth", (Query("grass", APPEARED), Query("trees", APPEARED))),
    ("roadbuilding", (Query("roads", APPEARED),)),
    ("housebuilding newbuild", (Query("houses", APPEARED),)),
    ("construction constructions", (Query("buildings", APPEARED),)),
    ("demolition demolitions", (Query("buildings", REMOVED),)),
    ("wildfire wildfires bushfire bushfires", (Query("trees", REMOVED),)),
)
#: One word that says both what and how.
FUSED: dict[str, tuple[Query, ...]] = {
    _word: _queries for _names, _queries in _FUSED_TEXT for _word in _names.split()
}
#: Fused where no other noun stands in the clause; otherwise verbs, or part of the noun.
FUSED_ALONE = frozenset(
    """flooded inundated deforested reforested afforested urbanised urbanized flood logging
    clearcut clearing clearings clearance clearances felling construction constructions
    demolition demolitions newbuild regrowth dieback""".split()
)

#: What anything is called.
ANYTHING = frozenset(
    """anything everything something whatever things thing object objects feature features any
    all""".split()
)
#: Words that ask for anything where no noun follows.
PRONOUNS = frozenset("anything everything something whatever what things objects features".split())

#: Sizes, laws and such, which no image tells; of the prompt they are set aside.
QUALITIES = frozenset(
    """large larger largest big bigger biggest huge small smaller smallest tiny tall taller tallest
    long longer longest short shorter wide wider narrow major minor illegal illegally unauthorised
    unauthorized unlicensed""".split()
)

#: Nouns that stand for several classes: those left out of "everything except vegetation".
GROUPS: dict[str, tuple[str, ...]] = {
    "vegetation": ("trees", "grass"),
    "greenery": ("trees", "grass"),
    "plants": ("trees", "grass"),
}

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
    anywhere somewhere everywhere evidence signs only just solely merely detection detections
    detecting detected mapping existing""".split()
)

#: Prepositions after which a place or a date follows, not the target.
PLACE = frozenset(
    """in on at near along beside around between within inside across by from during before
    after since until through throughout behind under next close outside towards to over above below
    beneath beyond opposite adjacent off onto via alongside surrounding facing leading connecting
    linking joining because due caused""".split()
)

#: Prepositions after which a place always follows: "what changed near the river" looks for
#: any change, while "what changed in the forest" looks for forest.
BESIDE = frozenset(
    """near along beside around between within behind next close outside adjacent opposite
    alongside""".split()
)

#: Words that name nothing, where no other word stands beside them; so does a single letter.
EMPTY = frozenset(
    """he she him her his hers ours yours theirs myself itself themselves whom whose because while
    than so such only own same very really quite rather still even yes no okay ok hello hi thanks
    thank other others another else maybe perhaps like about""".split()
)

NEGATIONS = frozenset(
    """no not nothing none without except excluding excl never ignore ignoring isn't aren't
    wasn't weren't don't didn't hasn't haven't neither nor unchanged unaltered""".split()
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
        "sealed surface",
        "sealed surfaces",
        "paved surface",
        "paved surfaces",
        "high-rise",
        "high rise",
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

#: What takes a thing away without taking its place.
_CAUSE = (
    r"(?:an?\s+|the\s+)?(?:\w+\s+)?(?:fires?|wildfires?|bushfires?|floods?|flooding|droughts?"
    r"|storms?|hurricanes?|earthquakes?|erosion|disease|beetles?|logging|timber|firewood|wind)\b"
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
    r"(?:for|to\s+(?:make\s+(?:way|room)\s+for|build)|to)|"
    r"(?:(?:that|which)\s+)?(?:is|are)\s+now"
    r")(?=\s|$)(?!\s+" + _CAUSE + r")"
)
_WAS = r"(?:once\s+)?(?:was|were|had\s+been|used\s+to\s+be)(?:\s+(?:once|formerly))?"
_GROUND = r"(?:the\s+)?(?:land|ground|areas?|sites?|plots?|places?)"
#: Between Y, which came, and X, which was there before: only Y is looked for.
FORMERLY = re.compile(
    r"\b(?:on|in|over|at|where)\s+(?:an?\s+|the\s+)?(?:former(?:ly)?|previous(?:ly)?)(?=\s)|"
    rf"\b(?:on|in|over|at)\s+(?:what|{_GROUND}\s+(?:that|which)|{_GROUND}\s+where\s+there)\s+"
    rf"{_WAS}(?=\s)|"
    rf"\bwhere\s+there\s+{_WAS}(?=\s)|"
    r"\b(?:that|which)\s+(?:used\s+to\s+be|(?:was|were)\s+(?:once|formerly|previously))(?=\s)"
)
_GONE = r"(?:cleared|removed|felled|cut|demolished|destroyed|lost|logged|gone)"
#: "Houses built where trees were cleared": what came, and what was there before.
WHERE = re.compile(
    r"^(.+?)\s+where\s+(?!there\s)(.+?)\s+(?:stood|used\s+to\s+be|(?:has\s+been|have\s+been|"
    rf"had\s+been|was|were)(?:\s+{_GONE})?)(?:\s+before)?$"
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
        (r"\s*(?:-{2,}|=+)>\s*|(?<=[^\W\d_])\s*>\s*(?=[^\W\d_])", " -> "),
        (rf"\b{_DOWN}[\s-]+down\b", "removed"),
        (r"\bnew[\s-]?builds?\b", "newbuild"),
        (
            r"\b(any(?:thing)?|every(?:thing)?|all)(\s+changes?|\s+that\s+changed)?\s+but\b",
            r"\1\2 except",
        ),
        (
            (
                r"\b(?:(?:any|all|the)\s+)?(?:changes?\s+(?:in|of|to)\s+(?:the\s+)?)?"
                r"land[\s-]?(?:use|cover)(?:\s+changes?)?\b"
            ),
            "any change",
        ),
        (r"^(?:newly\s+|recently\s+)?cleared\s+land$|\bland[\s-]clear(?:ing|ance)s?\b", "clearing"),
        (r"\b(water|lake|river|sea|reservoir)\s+levels?\b", r"\1"),
        (r"\bflood(?:water)?s?\s+(?:damage|extents?|zones?|areas?)\b", "flooding"),
        (r"\b(?:earthquake|storm|hurricane|tornado|war|bomb)\s+damage\b", "destroyed buildings"),
        (r"\b(coast|beach|shore|soil)(?:al)?\s+erosion\b", r"\1 eroded"),
        (r"\bsoil\s+sealing\b|\bland\s+(?:take|consumption)\b", "urbanisation"),
        (r"\bchanged\s+(?:its\s+|their\s+)?course\b", "changed"),
        (r"\bthan\s+(?:before|earlier|previously|in\s+the\s+past)\b", ""),
        (
            (
                r"^(?:what|areas?|land|places?)\s+(?:that\s+|which\s+)?(?:was|were|used\s+to\s+be)\s+"
                r"(.+?)\s+(?:and\s+|but\s+)?(?:that\s+)?(?:is|are)\s+now\s+"
            ),
            r"\1 -> ",
        ),
        (r"\b((?:that|which)\s+(?:was|were))\s+(\w+)\s+before\b", r"\1 formerly \2"),
        (r"\bloss\s+of\s+(.+?)\s+to\s+(?!" + _CAUSE + r")", r"\1 -> "),
        (r"(replaced\s+by\s+.+?)\s+and\s+(\w+)\s+by\s+", r"\1 , \2 replaced by "),
        (r"\s+and\s+(?=from\s+.+?\sto\s)", " , "),
        (
            (
                r"\b(bridges?|overpass(?:es)?|viaducts?|flyovers?|power\s+lines?)((?:\s+\w+){0,3}?)"
                r"\s+over\b"
            ),
            r"\1\2 across",
        ),
        (
            r"\b(?:that\s+|which\s+)?(?:lead(?:s|ing)?|runs?|running|going|goes)\s+to(?:wards)?\b",
            "towards",
        ),
        (r"\bclear[\s-]?cut(?:s|ting)?\b", "clearcut"),
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
            r"\b(?:conversion|transformation|transition|change|shift)s?\s+(?:of|from)\s+(?!\d)(?=.+\sto\s)",
            "from ",
        ),
        (r"^from\s+(?!\d)(.+?)\s+(?:in)?to\s+", r"\1 -> "),
        (r"^(.+?)\s+to\s+(.+?)\s+(?:conversion|transformation|transition)s?$", r"\1 -> \2"),
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

_UNIT = (
    r"(?:m2|m\u00b2|km2|km\u00b2|sqm|ha|hectares?|acres?|square\s+\w+|sq\s+\w+|met(?:re|er)s?"
    r"|kilomet(?:re|er)s?|m|km|feet|ft|pixels?|px|%|percent|years?|months?|days?)(?!\w)"
)
#: What a measure is of; it belongs to the measure.
_MEASURED = (
    r"(?:\s+(?:long|wide|broad|high|tall|deep|across|(?:in|of)\s+(?:length|width|size|area|height)"
    r"|(?:or|and)\s+(?:more|less|larger|longer|smaller|shorter|bigger))(?!\w))*"
)
_COMPASS = r"(?:(?:north|south)(?:[\s-]?(?:east|west))?|east|west|cent(?:re|er)|middle)"
_NUMBER = r"(?:\d+(?:[.,]\d+)*|\b(?:one|two|three|four|five|six|seven|eight|nine|ten)\b)"
_MEASURE = rf"(?:\s*{_UNIT})?{_MEASURED}"
#: How large, when, and where by the compass: what the prompt cannot say. Read before all else,
#: since numbers hold commas, and what is left must still be a prompt.
ASIDES: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern)
    for pattern in (
        r"\b(?:not?\s+)?(?:\w+er\s+than|more\s+than|less\s+than|at\s+least|at\s+most|over|under"
        r"|above|below|up\s+to|about)\s+(?:about\s+)?" + _NUMBER + _MEASURE,
        r"(?<!-)[<>]=?\s*" + _NUMBER + _MEASURE,
        (
            r"\b(?:in|over|during|within)\s+(?:the\s+)?(?:last|past)\s+(?:\w+\s+)?"
            r"(?:years?|decades?|months?|weeks?|days?)\b"
        ),
        r"\b(?:an?\s+)?(?:area|length|size)\s+of\s+" + _NUMBER + _MEASURE,
        r"\bwithin\s+" + _NUMBER + _MEASURE + r"(?:\s+(?:of|from)\s+(?:an?\s+|the\s+)?\w+)?",
        r"\b(?:between|from)\s+\d+\s+(?:and|to)\s+\d+\b" + _MEASURE,
        (
            r"\b(?:(?:in|since|after|before|until|from|by|during)\s+)?(?:early\s+|late\s+)?(?:19|20)\d\d"
            r"(?:\s*(?:-|to|and|until)\s*(?:19|20)\d\d)?(?![\w.,]\d|\w)"
        ),
        _NUMBER + r"\s*" + _UNIT + _MEASURED,
        _NUMBER + r"[\s-]?(?:lanes?|storeys?|story|stories|floors?)\b",
        r"\b(?:in|at|on|to|towards|near|from)\s+(?:the\s+)?(?:far\s+)?" + _COMPASS + r"(?:ern)?\b"
        r"(?:\s+(?:part|side|half|corner|end|edge|quarter)s?\b)?"
        r"(?:\s+of\s+(?:the\s+)?\w+)?",
        r"\b" + _COMPASS + r"\s+of\s+(?:the\s+)?\w+",
    )
)
