# SPDX-License-Identifier: GPL-3.0-or-later
"""Phrases for the text tower: objects seen from above, as users would type them.

All are written here, or generated from these lists and the vocabulary. There is no corpus, so the
terms are those of this repository ("open").
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Singular nouns by theme, comma-separated.
_NOUNS: dict[str, str] = {
    "buildings": (
        "building, house, home, villa, residence, residential building, structure, warehouse, "
        "factory, apartment, apartment block, apartment building, bungalow, cottage, hangar, "
        "dwelling, shed, roof, rooftop, tin roof, tiled roof, flat roof, settlement, mansion, "
        "cabin, hut, shack, barn, farmhouse, farm building, stable, garage, carport, office "
        "building, office block, skyscraper, tower block, high-rise, terraced house, row house, "
        "detached house, semi-detached house, duplex, condominium, townhouse, mobile home, "
        "trailer, caravan, chalet, hotel, motel, resort, hospital, clinic, school, university, "
        "campus, kindergarten, library, museum, church, mosque, temple, cathedral, chapel, "
        "monastery, palace, castle, fort, ruin, shopping mall, shopping centre, supermarket, "
        "shop, store, market, restaurant, petrol station, gas station, fire station, police "
        "station, prison, barracks, courthouse, town hall, theatre, cinema, stadium, arena, "
        "sports hall, gymnasium, grandstand, airport terminal, train station, bus station, depot, "
        "workshop, sawmill, mill, refinery, power plant, power station, nuclear power plant, "
        "substation, cooling tower, chimney, silo, grain silo, storage tank, oil tank, water "
        "tower, lighthouse, greenhouse, glasshouse, polytunnel, chicken house, livestock barn, "
        "data centre, logistics centre, distribution centre, industrial building, commercial "
        "building, public building, housing estate, housing development, suburb, slum, informal "
        "settlement, shanty town, refugee camp, tent, village, hamlet, town, city, neighbourhood, "
        "city block, courtyard, built-up area, urban area, residential area, industrial area, "
        "industrial estate, business park, container, shipping container, kiosk, gazebo, "
        "pavilion, conservatory, porch, patio, terrace, balcony, skylight, ship hull"
    ),
    "transport": (
        "road, street, highway, motorway, freeway, expressway, lane, avenue, boulevard, track, "
        "path, driveway, pavement, sidewalk, footpath, trail, cycle path, bike lane, carriageway, "
        "cul-de-sac, dead end, roundabout, traffic circle, intersection, junction, crossroads, "
        "interchange, overpass, flyover, underpass, tunnel, viaduct, bridge, footbridge, dirt "
        "road, gravel road, paved road, unpaved road, asphalt road, concrete road, forest road, "
        "logging road, farm track, access road, ring road, bypass, slip road, ramp, alley, kerb, "
        "road marking, zebra crossing, pedestrian crossing, parking lot, car park, parking space, "
        "parking garage, bus stop, toll booth, lay-by, railway, railway line, railroad, train "
        "track, rail yard, tram line, metro line, platform, level crossing, runway, taxiway, "
        "apron, airfield, airport, airstrip, helipad, heliport, port, harbour, marina, dock, "
        "pier, jetty, wharf, quay, breakwater, ferry terminal, container terminal, pipeline, "
        "power line, transmission line, pylon, electricity pole, cable car, ski lift, conveyor "
        "belt"
    ),
    "vehicles": (
        "car, vehicle, truck, lorry, van, bus, coach, pickup, trailer truck, tractor, combine "
        "harvester, excavator, bulldozer, crane, tower crane, construction vehicle, motorcycle, "
        "bicycle, train, locomotive, railway wagon, tram, aircraft, airplane, aeroplane, plane, "
        "jet, fighter jet, helicopter, glider, ship, boat, vessel, cargo ship, container ship, "
        "tanker, oil tanker, ferry, yacht, sailing boat, fishing boat, barge, tugboat, cruise "
        "ship, warship, submarine, canoe, raft, houseboat, tank, military vehicle, camper van, "
        "scrap car"
    ),
    "vegetation": (
        "tree, forest, wood, woods, woodland, grove, canopy, tree canopy, tree cover, orchard, "
        "jungle, copse, thicket, bush, shrub, scrub, shrubland, hedge, hedgerow, tree row, tree "
        "line, street tree, conifer, pine, pine forest, spruce, fir, oak, birch, poplar, "
        "eucalyptus, palm, palm tree, oil palm, palm plantation, plantation, rubber plantation, "
        "banana plantation, rainforest, mangrove, deciduous forest, coniferous forest, broadleaf "
        "forest, mixed forest, dead tree, fallen tree, tree stump, grass, grassland, lawn, "
        "meadow, pasture, prairie, savanna, steppe, turf, green space, low vegetation, "
        "vegetation, undergrowth, weeds, fern, moss, heath, heathland, tundra, reed bed, reeds, "
        "garden, allotment, vegetable garden, park, flower bed, nursery, cemetery, graveyard, "
        "golf course, golf green, fairway, field, farm field, cropland, crop, arable land, "
        "farmland, farm, paddy field, rice field, wheat field, corn field, maize, sugar cane, "
        "cotton field, sunflower field, soybean field, potato field, vineyard, olive grove, tea "
        "plantation, coffee plantation, hay bale, haystack, fallow land, irrigated field, pivot "
        "irrigation circle, terraced field, stubble field, ploughed field, burnt area, burn scar, "
        "clear-cut, clearing, logged area, felled trees, deforested area, firebreak"
    ),
    "water": (
        "water, lake, pond, farm pond, river, reservoir, stream, creek, brook, canal, ditch, "
        "drain, channel, water body, open water, lagoon, bay, sea, ocean, coast, shore, "
        "shoreline, estuary, delta, fjord, inlet, cove, strait, waterfall, rapids, spring, oasis, "
        "wetland, marsh, swamp, bog, fen, mudflat, tidal flat, salt marsh, salt pan, salt pond, "
        "floodplain, flood water, flooded field, flooded area, puddle, swimming pool, pool, "
        "paddling pool, fountain, fish pond, aquaculture pond, fish farm, shrimp pond, settling "
        "pond, sewage pond, sewage treatment plant, water treatment plant, tailings pond, dam, "
        "weir, lock, levee, dike, embankment, seawall, ice, sea ice, iceberg, glacier, snow, snow "
        "field, frozen lake, coral reef, sandbank, sandbar, island, islet, river bank, riverbed, "
        "dry riverbed, oil spill, algae bloom, water tank, irrigation canal, culvert"
    ),
    "bare": (
        "bare ground, bare soil, bare land, bare earth, soil, sand, dirt, mud, clay, gravel, "
        "rock, stone, boulder, open ground, wasteland, vacant lot, empty lot, brownfield, "
        "construction site, building site, earthworks, excavation, foundation, concrete slab, "
        "trench, pit, quarry, gravel pit, sand pit, mine, open-pit mine, coal mine, gold mine, "
        "strip mine, spoil heap, slag heap, stockpile, rubble, debris, demolition site, landfill, "
        "rubbish dump, garbage dump, waste heap, scrapyard, junkyard, timber yard, log pile, "
        "desert, dune, sand dune, beach, cliff, ravine, gully, canyon, valley, ridge, hill, "
        "mountain, peak, slope, scree, landslide, mudslide, erosion, crater, volcano, lava field, "
        "bare rock, badlands, salt flat, asphalt, concrete, paved surface, paved area, impervious "
        "surface, paving, square, plaza, courtyard floor, playing field, schoolyard, storage "
        "yard, lorry park, burnt ground, tailings"
    ),
    "facilities": (
        "tennis court, basketball court, football pitch, soccer field, football field, baseball "
        "diamond, baseball field, cricket pitch, rugby field, hockey field, running track, "
        "athletics track, race track, racecourse, velodrome, skate park, playground, sports "
        "field, sports ground, sports facility, ski slope, ice rink, bowling green, volleyball "
        "court, shooting range, camp site, caravan park, amusement park, theme park, roller "
        "coaster, ferris wheel, zoo, botanical garden, water park, picnic area, solar panel, "
        "photovoltaic panel, solar farm, solar power plant, solar park, wind turbine, wind farm, "
        "oil well, oil rig, drilling platform, oil field, gas flare, well pad, storage facility, "
        "antenna, radio mast, cell tower, satellite dish, radar station, observatory, billboard, "
        "street light, fence, wall, gate, statue, monument, archaeological site, military base, "
        "bunker, missile site, checkpoint, border wall, feedlot, cattle pen, paddock, beehive, "
        "cattle, cow, sheep, horse, herd, elephant, whale, flock of birds, person, people, crowd, "
        "shadow, cloud, smoke, fire, wildfire, fog, bomb crater, collapsed building, damaged "
        "building, destroyed house, abandoned house, tarpaulin, bare roof, umbrella, parasol, "
        "trampoline"
    ),
}

_ADJECTIVES = (
    "new, old, large, small, big, tiny, long, short, wide, narrow, tall, low, high, red, white, "
    "grey, blue, green, brown, dark, bright, black, yellow, abandoned, damaged, destroyed, "
    "collapsed, empty, flooded, dry, wet, muddy, sandy, rocky, dense, sparse, scattered, single, "
    "isolated, urban, rural, suburban, industrial, residential, commercial, agricultural, public, "
    "private, military, temporary, permanent, modern, historic, wooden, stone, brick, concrete, "
    "metal, paved, unpaved, covered, open, round, rectangular, artificial, natural, burnt, young, "
    "mature, illegal, informal, coastal, main, nearby"
)

_TEMPLATES = (
    "{a} {n}, {a} {n}, {a} {n}, {a} {b} {n}, {n} and {m}, {n} near the {m}, {n} beside a {m}, "
    "{n} along the {m}, {a} {n} and {m}, {n} in the {d}, {n} built, {n} demolished, {n} "
    "removed, {n} replaced by {m}, {n} turned into {m}, an aerial image of {n}, the {n}, {n} "
    "with {m}, some {n}, many {n}, {n} on the {m}, {n} between {m}"
).split(", ")

_PLACES = (
    "north, south, east, west, centre, north-east, south-west, city, village, countryside, suburb"
)

#: Synonyms and the class they must be nearest to. If a recipe holds them out, no training phrase
#: contains one of their words.
HELD_OUT_SYNONYMS: dict[str, str] = {
    word: name
    for name, words in (
        ("buildings", "homes dwelling dwellings cottages bungalow skyscraper mansion chalet"),
        ("roads", "lane motorway avenue boulevard expressway freeway"),
        ("trees", "copse grove conifers oaks jungle"),
        ("grass", "lawn meadow prairie turf"),
        ("water", "lagoon creek brook estuary reservoir"),
        ("bare ground", "gravel dirt mud wasteland"),
        ("cars", "automobiles minivan"),
        ("ships", "yachts ferries"),
        ("aircraft", "airliner biplane"),
        ("railways", "railroad tramway"),
    )
    for word in words.split()
}

#: The classes of :data:`HELD_OUT_SYNONYMS`.
SYNONYM_CLASSES: tuple[str, ...] = tuple(dict.fromkeys(HELD_OUT_SYNONYMS.values()))

_SAME_IN_PLURAL_TEXT = (
    "aircraft, woods, grass, turf, reeds, weeds, water, sand, soil, dirt, mud, clay, gravel, "
    "asphalt, concrete, snow, ice, sea ice, cattle, sheep, people, vegetation, low vegetation, "
    "undergrowth, cropland, farmland, maize, sugar cane, debris, rubble, earthworks, erosion, "
    "fog, smoke, moss, open water, flood water, rapids, bare ground, bare soil, bare land, bare "
    "earth, bare rock, open ground, wasteland, arable land, paving, fallow land, felled trees, "
    "tailings, tree cover, tree canopy, scree, barracks, badlands, burnt ground, crossroads, "
    "scrub, green space, heath"
)
_SAME_IN_PLURAL = frozenset(_SAME_IN_PLURAL_TEXT.split(", "))


def plural(noun: str) -> str:
    """Return the English plural of a noun phrase ("car park" -> "car parks")."""
    if noun in _SAME_IN_PLURAL:
        return noun
    if re.search(r"(s|x|z|ch|sh)$", noun):
        return noun + "es"
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return noun + "s"


def nouns() -> list[str]:
    """Return all distinct nouns, singular and plural, in a fixed order."""
    singular = [noun for text in _NOUNS.values() for noun in text.split(", ")]
    return list(dict.fromkeys(form for noun in singular for form in (noun, plural(noun))))


def composed(count: int, rng: random.Random) -> list[str]:
    """Return ``count`` phrases of nouns, adjectives and templates."""
    names, adjectives, places = nouns(), _ADJECTIVES.split(", "), _PLACES.split(", ")
    return [
        rng.choice(_TEMPLATES).format(
            n=rng.choice(names),
            m=rng.choice(names),
            a=rng.choice(adjectives),
            b=rng.choice(adjectives),
            d=rng.choice(places),
        )
        for _ in range(count)
    ]


def whole_words(vocabulary: Iterable[str]) -> list[str]:
    """Return the Latin words of at least three letters in a WordPiece vocabulary."""
    return [piece for piece in vocabulary if re.fullmatch(r"[a-z]{3,}", piece)]


def glued(count: int, vocabulary: Sequence[str], rng: random.Random) -> list[str]:
    """Return ``count`` invented words of a word and an inner piece, to train the pieces."""
    words = whole_words(vocabulary)
    inner = [piece[2:] for piece in vocabulary if re.fullmatch(r"##[a-z]{2,}", piece)]
    return [rng.choice(words) + inner[i % len(inner)] for i in range(count)]


def training_phrases(
    vocabulary: Sequence[str], compositions: int, inventions: int, hold_out: bool, seed: int
) -> list[str]:
    """Return all distinct training phrases.

    Args:
        vocabulary: the pieces of the tokenizer.
        compositions: number of :func:`composed` phrases.
        inventions: number of :func:`glued` words.
        hold_out: leave out every phrase with a word of :data:`HELD_OUT_SYNONYMS`.
        seed: of the random choice.
    """
    rng = random.Random(seed)  # noqa: S311  # nosec B311
    phrases = [
        *nouns(),
        *whole_words(vocabulary),
        *composed(compositions, rng),
        *glued(inventions, vocabulary, rng),
    ]
    phrases = list(dict.fromkeys(phrases))
    if not hold_out:
        return phrases
    banned = set(HELD_OUT_SYNONYMS) | {plural(word) for word in HELD_OUT_SYNONYMS}
    banned |= {word[:-1] for word in HELD_OUT_SYNONYMS if word.endswith("s")}
    return [p for p in phrases if not banned.intersection(re.findall(r"[a-z]+", p))]
