# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns of the prompt grammar: exchanges, phrases to rewrite, sizes, times and directions."""

from __future__ import annotations

import re

from ..lexicon.small_words import NUMBERS

#: Causes: they take a thing away without taking its place.
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
        (r"\bbetween\s+(?:the\s+)?(?:two\s+)?(?:dates|images|years|layers)\b", ""),
        (r"\bbefore\s+and\s+after\b", ""),
        (
            rf"\b(?:urban|suburban|{_TOWN})\s+(?:growth|expansion|extension|spread|development)\b",
            "urbanisation",
        ),
        (rf"\b(?:growth|expansion|extension|spread)\s+of\s+(?:the\s+)?{_TOWN}\b", "urbanisation"),
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
_NUMBER = rf"(?:\d+(?:[.,]\d+)*|\b(?:{'|'.join(NUMBERS)})\b)"
_MEASURE = rf"(?:\s*{_UNIT})?{_MEASURED}"
#: Sizes, times and compass directions, which no query has. Matched first, since numbers contain
#: commas, and what is left must still be a prompt.
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
