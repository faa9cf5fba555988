# SPDX-License-Identifier: GPL-3.0-or-later
"""Prepositions, numbers, negations and other small words."""

from __future__ import annotations

#: Numbers as words, in order.
NUMBERS: dict[str, int] = {
    word: number
    for number, word in enumerate(
        "one two three four five six seven eight nine ten eleven twelve".split(), 1
    )
}
#: Quantities in a sentence.
ONE = frozenset("a an one another single".split())
SOME = frozenset("some several few couple various multiple group".split())
MANY = frozenset("many numerous lot lots plenty rows lines dozens hundreds countless".split())
#: In a sentence, what comes after these did not stand there before.
NEW = frozenset("new another additional extra".split())

_PLACE = """in on at along alongside around between within inside across by from through
    throughout behind under next outside towards toward to over above below beneath beyond beside
    besides opposite among amongst amid amidst against off onto via adjacent near surrounding
    facing leading connecting linking joining"""
#: Prepositions of a prompt after which a place or a date follows, not the object.
PLACE = frozenset(f"{_PLACE} during before after since until close because due caused".split())
#: Prepositions of a prompt after which a place always follows: "what changed near the river"
#: means any change, while "what changed in the forest" means forest.
BESIDE = frozenset(
    """near along beside besides around between within behind next close outside adjacent opposite
    alongside among amongst amid amidst""".split()
)
#: What takes the nouns behind it out of what a sentence says.
SENTENCE_PLACE = frozenset(
    f"{_PLACE} nearby surrounded connected leads about following where".split()
)

_NEGATIONS = "no not never neither nor without none except"
#: What comes after these in a prompt is not wanted.
NEGATIONS = frozenset(
    f"""{_NEGATIONS} nothing excluding excl ignore ignoring isn't aren't wasn't weren't don't
    didn't hasn't haven't unchanged unaltered""".split()
)
#: A sentence with one of these, or with a verb in n't, denies something.
DENIALS = frozenset(_NEGATIONS.split())

#: Words that separate the objects of a prompt.
AND = frozenset("and or plus then".split())
#: Words of a prompt for any object, and those that mean it where no noun follows.
ANYTHING = frozenset(
    """anything everything something whatever things thing object objects feature features any
    all""".split()
)
PRONOUNS = frozenset("anything everything something whatever what things objects features".split())
#: Sizes, laws and such in a prompt, which no image shows.
QUALITIES = frozenset(
    """large larger largest big bigger biggest huge small smaller smallest tiny tall taller tallest
    long longer longest short shorter wide wider narrow major minor illegal illegally unauthorised
    unauthorized unlicensed""".split()
)
#: Words of a prompt without meaning here, wherever they stand.
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
#: Words of a prompt that name nothing, where no other word stands beside them.
EMPTY = frozenset(
    """he she him her his hers ours yours theirs myself itself themselves whom whose because while
    than so such only own same very really quite rather still even yes no okay ok hello hi thanks
    thank other others another else maybe perhaps like about""".split()
)

#: All tables of prompts.
OF_PROMPTS = (PLACE, NEGATIONS, AND, ANYTHING, PRONOUNS, QUALITIES, FILLER, EMPTY)
