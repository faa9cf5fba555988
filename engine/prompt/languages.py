# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the usual words of German, French, Spanish and Portuguese prompts into English.

A word list, not a translation: "neue Gebäude" becomes "new buildings". Words that are not
listed stay as they are. Accents may be left out, and German umlauts written as two letters.
"""

from __future__ import annotations

import functools
import re
import unicodedata

from ..classes import CLASSES
from .words import FUSED, VERBS

_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")

# English, a colon, and its words in the language. "_" stands for a space; an English word of "-"
# means nothing here.
_GERMAN = """
building: bauwerk; buildings: gebäude bauten neubauten bauwerke; house: haus; houses: häuser
häusern wohnhäuser; road: straße; roads: straßen; paths: wege feldwege; path: weg; tree: baum;
trees: bäume bäumen gehölze; forest: wald wälder wäldern waldfläche waldflächen; water: wasser
gewässer; lakes: seen; lake: see; river: fluss; rivers: flüsse; grass: gras wiese wiesen rasen
grünland; fields: felder äcker acker; farmland: ackerland ackerfläche ackerflächen; bare_ground:
boden brache; parking_lots: parkplätze parkplatz; bridges: brücken; bridge: brücke; railway:
bahnlinie bahngleise gleise; vegetation: vegetation; swimming_pools: schwimmbecken; solar_panels:
solaranlagen photovoltaikanlagen solarmodule; sheds: schuppen; warehouses: lagerhallen lagerhäuser
hallen; cars: autos fahrzeuge; built: gebaut errichtet erbaut gebaute gebauten errichtete
errichteten; new: neu neue neuer neues neuen; planted: gepflanzt gepflanzte aufgeforstet;
demolished: abgerissen abgerissene abgerissenen abriss zerstört zerstörte zerstörten; removed:
entfernt entfernte beseitigt; felled: gefällt gefällte gefällten; cleared: gerodet gerodete
gerodeten; clearing: rodung rodungen; disappeared: verschwunden verschwundene; lost: verloren
verlust; changed: geändert verändert veränderung veränderungen änderung änderungen; flooded:
überflutet überschwemmt überflutete überschwemmte; flooding: überschwemmung überflutung
hochwasser; deforestation: abholzung entwaldung kahlschlag; reforestation: aufforstung;
urbanisation: verstädterung versiegelung zersiedelung; replaced: ersetzt; construction: neubau
bau; roadbuilding: straßenbau; housebuilding: wohnungsbau; appeared: entstanden erschienen
aufgetaucht hinzugekommen; former: ehemaligem ehemaligen ehemaliger frühere früherem; and: und
sowie; or: oder; near: nahe neben bei; on: auf; in: in im; by: durch; except: außer ohne; not:
nicht keine kein; everything: alles; what: was; where: wo; which: welche; since: seit; all: alle;
-: der die das den dem des ein eine einen einer hat haben gibt es sich wurde wurden worden ist
sind am an zeige mir bitte finde von vom zum zur
"""
_FRENCH = """
building: bâtiment édifice immeuble; buildings: bâtiments édifices immeubles constructions; house:
maison; houses: maisons; road: route rue; roads: routes rues; path: chemin; paths: chemins
sentiers; tree: arbre; trees: arbres; forest: forêt; forests: forêts; woods: bois; water: eau;
lake: lac; lakes: lacs; river: rivière fleuve; rivers: rivières fleuves; grass: herbe prairie
prairies pelouse pelouses; fields: champs; field: champ; bare_ground: sol; parking_lots: parkings
stationnement; bridge: pont; bridges: ponts; railway: voie_ferrée; vegetation: végétation;
swimming_pools: piscines piscine; solar_panels: panneaux_solaires; warehouses: entrepôts entrepôt;
cars: voitures; built: construit construite construits construites bâti bâtis édifiés; new:
nouveau nouvelle nouveaux nouvelles nouvel neuf neuve neufs neuves; planted: planté plantée
plantés plantées; demolished: démoli démolie démolis démolies détruit détruite détruits détruites
rasé rasés; removed: supprimé supprimée supprimés supprimées enlevés enlevé; felled: abattu
abattue abattus abattues coupé coupés; cleared: défriché défrichée défrichés défrichées; clearing:
défrichement défrichements; disappeared: disparu disparue disparus disparues; lost: perdu perdue
perdus perdues perte; changed: changé changée changés changements changement modifié modifiés
modifications; flooded: inondé inondée inondés inondées; flooding: inondation inondations;
deforestation: déforestation déboisement; reforestation: reboisement; urbanisation: urbanisation
étalement_urbain; replaced: remplacé remplacée remplacés remplacées; construction: construction;
demolition: démolition; appeared: apparu apparue apparus apparues; former: ancien ancienne anciens
anciennes; and: et; or: ou; near: près; on: sur; in: dans en; by: par; except: sauf excepté; not:
pas; without: sans; everything: tout; what: que quoi est-ce_qui; where: où; since: depuis; all:
tous toutes; -: le la les l un une des du de d au aux a ont été est sont qui montre trouve moi
quels quelles
"""
_SPANISH = """
building: edificio; buildings: edificios construcciones edificaciones; house: casa vivienda;
houses: casas viviendas; road: carretera calle; roads: carreteras calles caminos; path: camino
sendero; tree: árbol; trees: árboles; forest: bosque; forests: bosques; water: agua; lake: lago;
lakes: lagos; river: río; rivers: ríos; grass: hierba césped pasto pastos pradera; fields: campos
cultivos; field: campo; bare_ground: suelo; parking_lots: estacionamientos aparcamientos; bridge:
puente; bridges: puentes; railway: ferrocarril; vegetation: vegetación; swimming_pools: piscinas;
solar_panels: paneles_solares; warehouses: almacenes naves; cars: coches autos vehículos; built:
construido construida construidos construidas edificado; new: nuevo nueva nuevos nuevas; planted:
plantado plantada plantados plantadas; demolished: demolido demolida demolidos demolidas destruido
destruida destruidos destruidas derribado derribados derribadas; removed: eliminado eliminada
eliminados eliminadas quitado; felled: talado talada talados taladas cortado cortados; cleared:
desmontado despejado desbrozado; clearing: tala desmonte; disappeared: desaparecido desaparecida
desaparecidos desaparecidas; lost: perdido perdida perdidos perdidas pérdida; changed: cambió
cambiado cambio cambios modificado modificados; flooded: inundado inundada inundados inundadas;
flooding: inundación inundaciones; deforestation: deforestación; reforestation: reforestación;
urbanisation: urbanización; replaced: reemplazado reemplazada reemplazados reemplazadas sustituido
sustituidos; construction: construcción; demolition: demolición; appeared: aparecido aparecida
aparecidos aparecidas; former: antiguo antigua antiguos antiguas; and: y e; or: o u; near: cerca;
on: sobre; in: en; by: por; except: excepto salvo menos; not: no; without: sin; everything: todo;
what: qué que; where: dónde donde; since: desde; all: todos todas; -: el la los las un una unos
unas de del al ha han se fue fueron es son está están muestra
"""
_PORTUGUESE = """
building: edifício prédio; buildings: edifícios prédios construções edificações; house: casa;
houses: casas; road: estrada rua; roads: estradas ruas; path: caminho; paths: caminhos; tree:
árvore; trees: árvores; forest: floresta mata; forests: florestas matas; water: água; lake: lago;
lakes: lagos; river: rio; rivers: rios; grass: grama relva pasto pastagem pastagens; fields:
campos plantações; field: campo; bare_ground: solo; parking_lots: estacionamentos; bridge: ponte;
bridges: pontes; railway: ferrovia; vegetation: vegetação; swimming_pools: piscinas; solar_panels:
painéis_solares; warehouses: armazéns galpões; cars: carros veículos; built: construído construída
construídos construídas; new: novo nova novos novas; planted: plantado plantada plantados
plantadas; demolished: demolido demolida demolidos demolidas destruído destruída destruídos
destruídas derrubado derrubada derrubados derrubadas; removed: removido removida removidos
removidas; felled: cortado cortada cortados cortadas; cleared: desmatado desmatada desmatados
desmatadas; disappeared: desaparecido desaparecida desaparecidos desaparecidas desapareceu; lost:
perdido perdida perdidos perdidas perda; changed: mudou mudança mudanças alterado alterados
alterações; flooded: inundado inundada inundados inundadas alagado alagados; flooding: inundação
inundações enchente enchentes; deforestation: desmatamento desflorestação desflorestamento;
reforestation: reflorestamento; urbanisation: urbanização; replaced: substituído substituída
substituídos substituídas; construction: construção; demolition: demolição; appeared: apareceu
surgiu surgiram; former: antigo antiga antigos antigas; and: e; or: ou; near: perto; on: sobre;
in: em no na nos nas; by: por pelo pela; except: exceto menos; not: não; without: sem; everything:
tudo; what: que quê; where: onde; since: desde; all: todos todas; -: o a os as um uma uns umas de
do da dos das foi foram é são está estão mostre
"""
#: Words of the lists that are English too: they do not tell a language.
_ENGLISH_TOO = frozenset(
    """see seen wege bau boden lac as a an in no on do me e y o u am die des den hat was all or et
    le la les un une que au ha son sin sans par que bois parkings construction constructions
    vegetation urbanisation modifications route routes rue casa rio mata champ champs pont menos
    salvo autos naves solo man lago campo""".split()
)
#: Where German puts the verb last.
_LAST = re.compile(r"\bby\s+(.+?)\s+replaced\b")


def in_english(text: str) -> str:
    """Return a prompt in English; "" where it is English already, or no listed word is in it.

    Args:
        text: what the user typed.
    """
    lower = " ".join(text.lower().replace("\u2019", "'").split())
    lower = re.sub(r"\b(?:l|d|qu)'(?=\w)", "", lower)
    words = _WORD.findall(lower)
    told = [sum(_tells(word, table) for word in words) for table in _tables()]
    if not max(told) or max(told) < sum(word in _understood() for word in words):
        return ""
    table = _tables()[told.index(max(told))]
    for phrase in (key for key in table if " " in key):
        lower = lower.replace(phrase, table[phrase])
    english = _WORD.sub(lambda match: _read(match.group(), table), lower)
    english = _LAST.sub(r"replaced by \1", " ".join(english.split()))
    return re.sub(r"\s+(?=[,;.?!])", "", english).strip(" ?!.,;\u00bf\u00a1")


def _read(word: str, table: dict[str, str]) -> str:
    return table.get(word, table.get(_plain(word), word))


def _tells(word: str, table: dict[str, str]) -> bool:
    """Tell whether a word is of this language and of no other use in English."""
    known = bool(table.get(word) or table.get(_plain(word)))
    return known and word not in _ENGLISH_TOO and word not in _understood()


def _plain(word: str) -> str:
    """Return a word without accents."""
    apart = unicodedata.normalize("NFKD", word.replace("\u00df", "ss"))
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


@functools.lru_cache(maxsize=1)
def _tables() -> tuple[dict[str, str], ...]:
    return tuple(_table(text) for text in (_GERMAN, _FRENCH, _SPANISH, _PORTUGUESE))


def _table(text: str) -> dict[str, str]:
    """Return foreign word -> English word; without accents too, where that is no other word."""
    table: dict[str, str] = {}
    english = ""
    for token in text.split():
        if token.endswith(":"):
            english = token[:-1].replace("_", " ").replace("-", "")
        else:
            table[token.strip(";").replace("_", " ")] = english
    for word, meaning in tuple(table.items()):
        table.setdefault(_plain(word), meaning)
        two_letters = re.sub("[\u00e4\u00f6\u00fc]", lambda m: f"{_plain(m.group())}e", word)
        table.setdefault(_plain(two_letters), meaning)
    return table


@functools.lru_cache(maxsize=1)
def _understood() -> frozenset[str]:
    """English words that are understood; a prompt with more of them is English."""
    nouns = {part for known in CLASSES for words in known.words for part in words.split()}
    return frozenset(VERBS) | frozenset(FUSED) | nouns
