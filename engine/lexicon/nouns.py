# SPDX-License-Identifier: GPL-3.0-or-later
"""Nouns of the land-cover classes and of other objects that are seen from above."""

from __future__ import annotations

import re

#: Class -> words and phrases that mean it in a prompt. The text bank of the training is built
#: from these in this order, so new ones go to the end.
CLASS_NOUNS: dict[str, tuple[str, ...]] = {
    name: tuple(" ".join(phrase.split()) for phrase in phrases.split(","))
    for name, phrases in {
        "building": """building, buildings, house, houses, home, homes, housing, villa, villas,
            residence, residences, residential buildings, structure, structures, warehouse,
            warehouses, factory, factories, apartment, apartments, apartment blocks, bungalow,
            bungalows, cottage, cottages, hangar, hangars, dwelling, dwellings, shed, sheds, roof,
            roofs, rooftops, settlement, settlements""",
        "road": """road, roads, street, streets, highway, highways, motorway, motorways, lane,
            lanes, avenue, avenues, track, tracks, path, paths, driveway, driveways, pavement,
            carriageway, carriageways, cul-de-sac, cul-de-sacs""",
        "tree": """tree, trees, forest, forests, wood, woods, woodland, woodlands, grove, groves,
            canopy, tree canopy, tree cover, orchard, orchards, jungle""",
        "grass": """grass, grassland, grasslands, lawn, lawns, meadow, meadows, pasture, pastures,
            low vegetation""",
        "water": """water, lake, lakes, pond, ponds, river, rivers, reservoir, reservoirs, stream,
            streams, canal, canals, water body, water bodies""",
        "bare ground": """bare ground, bare soil, bare land, bare earth, bareland, soil, sand, dirt,
            open ground, wasteland, construction site, construction sites, earthworks""",
    }.items()
}

#: Words that name a class in a sentence and something narrower in a prompt ("new schools"), or
#: that annotators use in a sense of their own: where one writes "plants", another writes "trees".
_SENTENCES_ALSO = {
    "building": """mansion mansions constructions mall malls storehouse storehouses castle
        auditorium workshop workshops cabin cabins school church""",
    "road": "bypass bypasses crossroad crossroads pathway pathways roadway",
    "tree": "plant plants vegetation vegetations",
    "bare ground": "bare-ground barelands wastelands desert",
}
#: In a sentence these describe another noun ("a dirt road", "a sand pit", "a running track") or
#: are a part of it ("houses with red roofs").
_NOT_IN_SENTENCES = frozenset("soil sand dirt track tracks roof roofs rooftops pavement".split())
#: Class -> single words that name it in a sentence.
SENTENCE_NOUNS: dict[str, tuple[str, ...]] = {
    name: (
        *(word for word in words if " " not in word and word not in _NOT_IN_SENTENCES),
        *_SENTENCES_ALSO.get(name, "").split(),
    )
    for name, words in CLASS_NOUNS.items()
}
#: Trees or only scrub; a sentence with these hints at trees.
SCRUB = frozenset("brushwood brushwoods shrub shrubs underbrush bushes brush greenery".split())

#: Objects of no class. In a sentence they must have been found; in a prompt they are known.
OTHER_NOUNS = frozenset(
    """airport airports boat boats bridge bridges car cars container containers crop crops farmland
    farmlands greenhouse greenhouses parking-lot people person plane planes playground playgrounds
    pool pools quarry quarries railway railways roundabout roundabouts runway runways ship ships
    solar-panel sports-field square squares stadium stadiums swimming-pool tank tanks tent tents
    tower towers truck trucks turbine turbines vehicle vehicles wetland wetlands""".split()
)
#: Parts of nouns of several words, and nouns too vague to be checked in a sentence.
PHRASE_PARTS = frozenset("field fields lot lots panel panels parking solar swimming".split())
#: Phrases of a sentence that are one noun.
SENTENCE_PHRASES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), noun)
    for pattern, noun in (
        (r"\b(?:parking|car) (?:lot|park|area|space)s?\b|\bcar-?parks?\b", "parking-lot"),
        (r"\bswimming[- ]pools?\b", "swimming-pool"),
        (
            r"\b(?:sports?|football|soccer|tennis|basketball) ?(?:field|court|pitche?)s?\b",
            "sports-field",
        ),
        (r"\b(?:bare|barren|open|vacant|empty) ?(?:land|ground|soil|earth)s?\b", "bare-ground"),
        (r"\bwater (?:body|bodies)\b", "water"),
        (r"\blow vegetation\b", "grass"),
        (r"\bsolar (?:panel|farm|park)s?\b", "solar-panel"),
    )
)

#: Nouns that have a length, besides those of the class "road".
LINE_NOUNS = frozenset(
    """railway railways railroad railroads rails runway runways canal canals river rivers stream
    streams ditch ditches fence fences wall walls hedge hedges hedgerow hedgerows pipeline pipelines
    trail trails footpath footpaths dike dikes dyke dykes dam dams bridge bridges footway footways
    cycleway cycleways firebreak firebreaks""".split()
)
#: In a prompt, nouns that stand for several classes: "everything except vegetation".
GROUPS: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("vegetation", "greenery", "plants"), ("trees", "grass")
)
#: In a prompt, nouns of two words, one of which would be read as a verb or left out.
NOUN_COMPOUNDS = frozenset(
    f"{first} {last}"
    for firsts, lasts in (
        ("building construction", "site sites"),
        ("construction", "work works vehicles"),
        (
            "burnt burned parking play green paved industrial residential urban built-up",
            "area areas",
        ),
        ("sealed paved", "surface surfaces"),
        ("high", "rise"),
        ("developed", "land"),
        ("logged", "areas"),
        ("railway road", "cutting"),
        ("road short", "cut"),
    )
    for first in firsts.split()
    for last in lasts.split()
) | {"high-rise", "built-up"}
