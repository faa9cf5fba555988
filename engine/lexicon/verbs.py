# SPDX-License-Identifier: GPL-3.0-or-later
"""Verbs by direction, with what does a verb's work: participles, nouns of action, adjectives.

"building", "plant", "clear" and "developments" are nouns or adjectives first and not listed.
"""

from __future__ import annotations

#: Directions, as in queries and in what a sentence says.
_APPEARED, _REMOVED, _CHANGED = "appeared", "removed", "changed"

#: Verbs that mean the same in prompts and in sentences.
_BOTH = {
    _APPEARED: """built constructed appear appears appeared appearing added expanded extend extends
        extended lengthened emerge emerges emerged established erected formed paved created
        developed opened planted completed placed installed laid arise arises increase increases
        increased""",
    _REMOVED: """removed remove disappear disappears disappeared disappearing demolished cleared
        felled destroyed vanish vanishes vanished gone eliminated dismantled razed lost torn cut
        bulldozed flattened uprooted eradicated burned burnt collapsed shrunk shrinks shrank
        decrease decreases decreased reduce reduces reduced""",
}
#: Verbs of prompts alone. In a sentence most are nouns ("growth"), describe a noun ("dead trees"),
#: change something else ("flooded houses") or are about an old thing (:data:`HINTS`).
_PROMPTS = {
    _APPEARED: """build builds construct constructs construction constructing new newly appearance
        add adds adding addition additions additional expand expands expanding expansion extending
        extension extensions enlarge enlarges enlarged enlarging enlargement planting flooded
        inundated erect erects erecting erection emergence creates creating creation grew grow
        grows grown growing growth gain gains gained increasing install installs installing
        installation arrived rebuild rebuilt reconstructed more recent recently widen widens
        widened widening broadened broadening lengthening reforested afforested rise rises rose
        risen rising dug excavated filled reclaimed replanted replanting regrown regrew regrowth
        newbuild asphalted tarmacked surfaced dumped deposited""",
    _REMOVED: """demolish demolishes demolishing demolition demolitions removes removing removal
        removals destroy destroying destruction clearing clearings clearance felling lose loses
        losing loss losses disappearance shrink shrinking shrinkage logged decline declined
        reduction drained receded missing fewer less former deforested cutting clearcut narrowed
        narrowing shorten shortens shortened shortening vanishing damaged damage damages collapse
        ruined wrecked eroded erode erosion retreated retreat retreats retreating melted melt
        melting melts harvested harvesting fell fallen falling dropped drop depleted died dead
        dying dieback emptied stripped""",
    _CHANGED: """changed change changes changing modified modification modifications altered
        alteration alterations different differences difference differs replaced renewed happened
        happening occurred moved moving shifted relocated migrated renovated refurbished repaired
        upgraded improved resurfaced ploughed plowed tilled""",
}
#: Verbs of sentences alone, which describe where something new stands or runs.
_SENTENCES = {
    _APPEARED: """located situated sited lie lies stand stands surround surrounds run runs running
        exist exists""",
    _REMOVED: "hewed abandoned",
}


def _by_direction(*tables: dict[str, str]) -> dict[str, str]:
    return {
        verb: direction
        for table in tables
        for direction, verbs in table.items()
        for verb in verbs.split()
    }


#: Verb -> direction.
PROMPT_VERBS = _by_direction(_BOTH, _PROMPTS)
SENTENCE_VERBS = _by_direction(_BOTH, _SENTENCES)

#: Verbs of a prompt that give way to any other in the same clause.
WEAK = frozenset("new newly recent recently more additional fewer less former growing".split())

#: In a sentence these hint at something new, in an old place or of an old thing.
HINTS = frozenset(
    """rebuilt reconstructed rebuild widened broadened repaired renovated upgraded changed changes
    refurbished improved grow grows grown growing denser lusher enlarged hardened""".split()
)
#: Verbs of a sentence that stand before a noun as often as behind one: "a completed villa".
ADJECTIVES = HINTS | set(
    "completed paved running abandoned planted extended burned burnt collapsed".split()
)
#: Verbs of a sentence whose object is what appears: "they build houses".
ACTIVE = frozenset("build builds construct constructs add adds".split())
#: Verbs of a sentence whose subject takes the place of their object.
REPLACE = frozenset("replace replaces replacing replaced".split())

#: Words of a prompt that say both what and how -> (object, direction).
EVENT_WORDS: dict[str, tuple[tuple[str, str], ...]] = {
    word: events
    for words, events in (
        (
            """deforestation deforested logging clearcut clearing clearings clearance clearances
            felling dieback wildfire wildfires bushfire bushfires""",
            (("trees", _REMOVED),),
        ),
        ("reforestation afforestation reforested afforested", (("trees", _APPEARED),)),
        (
            "urbanisation urbanization urbanised urbanized suburbanisation suburbanization sprawl",
            (("buildings", _APPEARED), ("roads", _APPEARED)),
        ),
        ("flooding flood floods flooded inundation inundated", (("water", _APPEARED),)),
        ("desertification", (("bare ground", _APPEARED),)),
        ("revegetation greening regrowth", (("grass", _APPEARED), ("trees", _APPEARED))),
        ("roadbuilding", (("roads", _APPEARED),)),
        ("housebuilding newbuild", (("houses", _APPEARED),)),
        ("construction constructions", (("buildings", _APPEARED),)),
        ("demolition demolitions", (("buildings", _REMOVED),)),
    )
    for word in words.split()
}
#: Event words only where no other noun stands in the clause; otherwise verbs, or part of the noun.
EVENT_WORDS_ALONE = frozenset(
    """flooded inundated deforested reforested afforested urbanised urbanized flood logging
    clearcut clearing clearings clearance clearances felling construction constructions
    demolition demolitions newbuild regrowth dieback""".split()
)
