"""An emotion profile of English text from a word list and a few patterns.

The method, in full:

1. Text is lower-cased and cut into words and clause marks (``. , ; : ! ?`` and line ends).
2. Fixed phrases ("no doubt", "it depends") are looked up first, then single words. An entry ending in ``*``
   stands for every word that begins so. A strong entry weighs 1, a mild one 0.5; an entry may belong to two
   emotions.
3. An intensifier right before it ("very", "deeply") makes it 1.5 times as heavy, a softener ("slightly") half.
4. A negation up to three words before it, in the same clause, turns it round: joy and sadness, trust and fear,
   confidence and doubt change places where :data:`OPPOSITE` says so; any other emotion is dropped. "Not only"
   negates nothing.
5. With h the summed weights of an emotion and n the number of words, d = 100 * h / max(n, 50) is its density
   in every hundred words. The score is 1 - exp(-d / 3): 0 for none, 0.28 for one in a hundred words, 0.63 for
   three, 0.86 for six. The floor of 50 words keeps one word of a short answer from filling the scale.

It finds words of feeling; it does not know irony, quotation or any language but English. Sober prose often has
none of them, and then every score is zero.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache

EMOTIONS = ("joy", "trust", "anticipation", "surprise", "fear", "sadness", "anger", "confidence", "doubt")
"""The dimensions of a profile, in the order in which they are shown."""

OPPOSITE = {
    "joy": "sadness",
    "trust": "fear",
    "confidence": "doubt",
    "doubt": "confidence",
}
"""What a negated word speaks of. Emotions that are absent here say nothing when negated."""

_STRONG = {
    "joy": """joy* happy happi* delight* glad gladly cheer* celebrat* enjoy* love loved loves loving wonderful
        fantastic excellent thrill* excit* pleased pleasing pleasur* proud* pride satisfying satisfaction grateful*
        thankful* fun laugh* smil* beautiful* bliss* ecsta* elat* triumph* rejoic* jubil* delicious paradise flourish*
        thriv*""",
    "trust": """trust* reliab* dependab* honest* faith* loyal* credib* sincer* integrity proven respect respected
        respectful* respects safe safely safety secure* security transparen* authentic* accountab* reassur* rely
        relied relies confide confided""",
    "anticipation": """anticipat* hope hopes hoped hoping hopeful* await* eager* prepar* foresee* forecast* upcoming
        soon future plan plans planned planning predict* prospect* aspir* curious* curiosity ambition* ambitious*
        horizon forthcoming""",
    "surprise": """surpris* unexpected* astonish* amaz* sudden* shock* startl* stunn* remarkabl* wow whoa unforeseen
        unbelievabl* incredibl* astound* striking* counterintuitive* paradox* bewilder* mysterious* unprecedented""",
    "fear": """fear fears feared fearing fearful* afraid scare scared scares scary terrif* terror danger* threat* risk
        risks risky risked riskier worry worri* anxi* alarm* panic* frighten* dread* horror horrif* nervous* hazard*
        peril* unsafe vulnerab* menac* distrust* mistrust* insecur* catastroph* disaster* nightmare* jeopard*""",
    "sadness": """sad sadly sadness sadden* grief griev* mourn* sorrow* tragic* tragedy tragedies lonel* isolated
        isolating isolation depress* despair* hopeless* regret* disappoint* miser* gloom* heartbreak* unhappy unhappi*
        cry crying cried tears suffer* lament* melanchol* bleak* dishearten* bereav* burnout exhaust* wretched
        helpless*""",
    "anger": """anger angry angri* furious* fury rage raging outrag* hate hates hated hatred hating hostil* resent*
        annoy* irritat* frustrat* infuriat* disgust* contempt* unfair* unjust* injustice* offend* offens* abus*
        exploit exploits exploited exploiting exploitation aggress* violen* cruel* betray* unacceptabl* disgrac*
        shameful* insult* wrath""",
    "confidence": """certainly certainty definite* clearly undoubted* obvious* absolutely unquestionabl* confident*
        confidence sure surely convinc* conclusive* unequivocal* undeniabl* indisputabl* guarantee guarantees
        guaranteed decisive* unambiguous* evidently emphatic* categorical*""",
    "doubt": """doubt* uncertain* unsure perhaps maybe possibly unclear ambigu* questionabl* debatabl* skeptic*
        sceptic* hesita* tentativ* unknown speculat* inconclusive* arguabl* contested controvers* disputed dubious*
        supposedly allegedly wonder wonders wondering""",
}

_MILD = {
    "joy": """good great nice benefit* welcom* satisfied pleasant* success* rewarding enthusias* comfort* optimis*
        hope hopeful* win wins winning fulfil* relief friendly warm warmly appreciat* gift""",
    "trust": """support* agree agrees agreed protect* stable stability consistent* fair fairness responsib* commit*
        evidence verif* robust* cooperat* collaborat* care caring believe* established recommend* help helps helped
        helping helpful*""",
    "anticipation": """eventual* expect* opportunit* potential* tomorrow ahead trend* goal* aim aims intend* ready
        explor* promis*""",
    "surprise": """unusual* strange* oddly rare rarely curious* interesting* notabl* dramatic* abrupt* mystery
        contrary""",
    "fear": """concern* caution* careful* warn* uncertain* threat insecure* crisis crises harm* instabil* unstable
        severe* toxic precarious* safeguard* beware wary stress* pressure""",
    "sadness": """loss losses lost lose unfortunate* hurt* pain pains painful* harsh* bad failure* failed fail
        decline* weak weakness* sorry tired fatigue lack lacks lacking poor poorly absence unemploy* poverty
        disconnect*""",
    "anger": """wrong wrongly blame* conflict* opposes opposed opposing complain* critici* reject* condemn* refus*
        fight fights fighting harass* discriminat* greed* mislead* exploitative""",
    "confidence": """clear indeed fact facts strongly prove* proof certain demonstrat* always must confirm* firm
        firmly correct* precise* exact* therefore ensure* straightforward* simply established""",
    "doubt": """may might could likely unlikely seem* appear* probab* roughly approximat* assum* suggest* depend*
        sometimes somewhat possible possibilit* variab* mixed generally typically usually whether guess""",
}

_PHRASES = {
    "joy": "good news; well done; a pleasure; worth celebrating",
    "trust": "in good faith; count on; track record; you can rely; stand by; best practice; best practices",
    "anticipation": "look forward; looking forward; looks forward; in the long run; can not wait; on the way; "
    "going to; over time; long term; in the years ahead",
    "surprise": "out of the blue; no one expected; to my surprise; who knew; all of a sudden; turns out",
    "fear": "at risk; worst case; red flag; red flags; slippery slope; side effects; watch out; at stake",
    "sadness": "let down; give up; too late; left behind; no hope; sad to say; falls short; fall short",
    "anger": "fed up; sick of; how dare; double standard; not acceptable; makes no sense",
    "confidence": "no doubt; without a doubt; without doubt; without question; beyond question; of course; "
    "no question; i am sure; i'm sure; there is no; for sure; in fact; by definition; the answer is; "
    "beyond doubt; beyond a doubt",
    "doubt": "it depends; depends on; not sure; hard to say; on the other hand; remains to be seen; i think; "
    "i guess; no guarantee; more research; as far as i know; up to a point; not clear; not certain; "
    "not necessarily; open question; what if; it seems; no clear; no consensus; i do not know; i don't know; "
    "trade off; trade offs",
}

_DEGREES = {
    "negation": """not no never neither nor without hardly barely scarcely cannot nothing nobody none""",
    "stronger": """very extremely deeply highly really so truly incredibly especially particularly immensely utterly
        profoundly enormously totally completely entirely too""",
    "softer": """slightly somewhat rather fairly little bit mildly partly partially moderately quite""",
}
_NEGATIONS, _STRONGER, _SOFTER = (frozenset(words.split()) for words in _DEGREES.values())

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|[.,;:!?\n]")
_MARKS = frozenset(".,;:!?\n")
_CLAUSE_WORDS = frozenset({"but", "however", "although", "though", "yet"})
_REACH = 3
_FLOOR = 50
_SCALE = 3.0

_Entry = tuple[tuple[str, float], ...]


def _index() -> tuple[dict[str, _Entry], dict[str, _Entry], dict[str, list[tuple[tuple[str, ...], str]]]]:
    """The lists above as whole words, word beginnings, and phrases by their first word, longest first."""
    words: dict[str, dict[str, float]] = {}
    stems: dict[str, dict[str, float]] = {}
    phrases: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for weight, lists in ((0.5, _MILD), (1.0, _STRONG)):
        for emotion, entries in lists.items():
            for entry in entries.split():
                target = stems if entry.endswith("*") else words
                target.setdefault(entry.rstrip("*"), {})[emotion] = weight
    for emotion, joined in _PHRASES.items():
        for phrase in joined.split("; "):
            parts = tuple(phrase.split())
            phrases.setdefault(parts[0], []).append((parts, emotion))
    for found in phrases.values():
        found.sort(key=lambda item: -len(item[0]))
    return (
        {word: tuple(entry.items()) for word, entry in words.items()},
        {stem: tuple(entry.items()) for stem, entry in stems.items()},
        phrases,
    )


_WORDS, _STEMS, _BY_FIRST = _index()
_SHORTEST, _LONGEST = min(map(len, _STEMS)), max(map(len, _STEMS))


@lru_cache(maxsize=8192)
def _entry(word: str) -> _Entry:
    """What a single word speaks of: its own entry, else that of the longest beginning that is listed."""
    if word in _WORDS:
        return _WORDS[word]
    for length in range(min(len(word), _LONGEST), _SHORTEST - 1, -1):
        if word[:length] in _STEMS:
            return _STEMS[word[:length]]
    return ()


def _phrase(tokens: Sequence[str], at: int) -> tuple[int, str] | None:
    """The length and the emotion of the longest phrase that begins here."""
    for parts, emotion in _BY_FIRST.get(tokens[at], ()):
        if tuple(tokens[at : at + len(parts)]) == parts:
            return len(parts), emotion
    return None


def _negated(tokens: Sequence[str], at: int) -> bool:
    for back in range(at - 1, max(at - 1 - _REACH, -1), -1):
        token = tokens[back]
        if token in _MARKS or token in _CLAUSE_WORDS:
            return False
        if token in _NEGATIONS or token.endswith("n't"):
            return tokens[back + 1] != "only"
    return False


def _force(tokens: Sequence[str], at: int) -> float:
    before = tokens[at - 1] if at else ""
    return 1.5 if before in _STRONGER else 0.5 if before in _SOFTER else 1.0


def profile(text: str) -> dict[str, float]:
    """The score of each of :data:`EMOTIONS` in a text, 0..1, rounded to 3 digits. All zero: nothing found."""
    tokens = _WORD.findall(text.lower().replace("\u2019", "'"))
    hits = dict.fromkeys(EMOTIONS, 0.0)
    at = 0
    while at < len(tokens):
        if phrase := _phrase(tokens, at):
            length, emotion = phrase
            hits[emotion] += 1.0
            at += length
            continue
        for emotion, weight in _entry(tokens[at]):
            felt: str | None = OPPOSITE.get(emotion) if _negated(tokens, at) else emotion
            if felt:
                hits[felt] += weight * _force(tokens, at)
        at += 1
    words = sum(token not in _MARKS for token in tokens)
    per_hundred = 100 / max(words, _FLOOR)
    return {emotion: round(1 - math.exp(-hit * per_hundred / _SCALE), 3) for emotion, hit in hits.items()}
