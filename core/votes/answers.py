r"""Reading the final answer out of what a member wrote.

Members are asked to end with a line ``Final answer: …``. :func:`final_answer` takes that and other ways of setting an
answer apart; :func:`read_answer` also takes the conclusion of plain prose, for the many that forget the line. An
abstention is no answer: whoever says "unknown" does not vote.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from core.asks import QuestionType, Value
from core.votes.normal import BOUND, LONGEST, bare, characters, closing_brace, normalise

_SHOWN = 200  # characters of an answer that people are shown
_READ = 20_000  # characters at a reply's end in which a stated answer is looked for
_TAIL = 1000  # characters at its end that are taken for the conclusion
_MOST = 20  # statements and open brackets that are tried: replies may be hostile


class FinalAnswer(Value):
    """What a member answers, apart from its reasons.

    ``text`` is as the member said it, on one line, without decoration. ``normal`` is for comparing: equal answers have
    equal ones.
    """

    text: str
    normal: str


def final_answer(text: str, question_type: QuestionType | None = None) -> FinalAnswer | None:
    r"""The answer that a reply sets apart: ``Final answer: x``, ``\boxed{x}``, tags, JSON, a line ``Answer: x``.

    The last one counts. None when there is none, or when it is an abstention ("unknown", "it depends").
    """
    stated = _stated(text[-_READ:])
    return None if stated is None or _abstains(stated) else _answer(stated, question_type)


def read_answer(
    text: str, question_type: QuestionType | None = None, options: Sequence[str] = ()
) -> FinalAnswer | None:
    """The answer set apart, else the one that the prose comes to ("Therefore, it returns [1, 2]."), else None.

    Only for questions that have a final answer: in other prose the last number means nothing. With ``options``
    ("B) Rome" or "Rome") an answer by letter or by words has the normal form of the option it names.
    """
    stated = _stated(text[-_READ:])
    if stated is None:
        stated = _concluded(text[-_TAIL:], question_type, options)
        if stated is None:
            return None
    found = _of_options(stated, options)
    if found or _abstains(stated):
        return found
    return _answer(_gist(stated, question_type), question_type)


def _answer(said: str, question_type: QuestionType | None) -> FinalAnswer | None:
    normal = normalise(said, question_type)
    return FinalAnswer(text=_shown(said), normal=normal) if normal else None


def _shown(said: str) -> str:
    line = " ".join(said.split())
    line = line if line[:1] in "'\"[{(" else bare(line)
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1].rstrip() + "…"


# --- set apart ------------------------------------------------------------------------------------------

_DECOR = r"[ \t*_`~]"
_FINAL = (
    r"final{D}+answer|endgültige{D}+antwort|finale{D}+antwort|respuesta{D}+final|réponse{D}+finale|risposta{D}+finale|"
    r"resposta{D}+final|окончательный{D}+ответ|最终答案|最終答案|最终回答|最終回答|最終的な答え"
).replace("{D}", _DECOR)
_MARK = re.compile(
    rf"(?<!\w)(?:{_FINAL}){_DECOR}{{0,8}}(?:\([^()\n]{{0,40}}\){_DECOR}{{0,8}})?"
    rf"(?:(?:(?:is|would{_DECOR}be|ist|es|est|è|é)(?![a-z])|是|は){_DECOR}{{0,8}}[:\uff1a]?|[:\uff1a=→]|->|-\s|{_DECOR}{{0,8}}\n)",
    re.IGNORECASE,
)
_LINE_MARK = re.compile(
    r"^[ \t>#*_`~-]{0,12}(?:(?:so|therefore|thus|hence|my|the|correct|overall),?[ \t]+){0,3}"
    r"(?:answer|conclusion|result|antwort|respuesta|réponse|risposta|resposta|ответ|答案|回答|答え)"
    rf"(?:{_DECOR}{{0,8}}[:\uff1a]|{_DECOR}{{1,8}}is[ \t]*:|[*_]{{2}}[ \t]*\n)",
    re.IGNORECASE | re.MULTILINE,
)
_TAG = re.compile(r"<(final_?answer|answer)>(.{1,1000}?)</\1>", re.IGNORECASE | re.DOTALL)
_FIELD = re.compile(r'"(?:final[_ ]?answer|answer)"\s{0,8}:\s{0,8}', re.IGNORECASE)
_BOXED = re.compile(r"\\f?box(?:ed)?\s?\{")
_LEAD_IN = re.compile(
    r"^(?:(?:so|therefore|thus|hence),?\s+)?(?:the|my)\s+(?:final\s+|correct\s+|best\s+)?answer\s+(?:is|would be)"
    r"\s*:?\s*",
    re.IGNORECASE,
)
_MORE = re.compile(r"\.\s+[A-Z]")
_SENTENCE_END = re.compile(r"(?:(?<=[a-z\d]{3})|(?<=\d)|(?<=[)\"'*$%]))\.\s+(?=[A-Z])")


def _stated(text: str) -> str | None:
    """What the last explicit statement says, bare of what surrounds it; None when nothing is set apart."""
    ways = (_marked(text, _MARK), _tagged(text), _fields(text), _boxes(text), _marked(text, _LINE_MARK))
    return next(chain.from_iterable(ways), None)


def _last(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """The last matches, the very last one first."""
    return reversed(deque(pattern.finditer(text), maxlen=_MOST))


def _marked(text: str, mark: re.Pattern[str]) -> Iterator[str]:
    for match in _last(mark, text):
        said = _first_line(text[match.end() : match.end() + 2 * LONGEST])
        if said:
            yield said


def _first_line(after: str) -> str:
    """The statement behind a mark: the first line with more than decoration, without the sentences behind the first."""
    lines = (line.strip() for line in after.split("\n"))
    line = next((line for line in lines if line.strip("*_`~$#>-: \t") and line not in (r"\[", r"\(")), "")
    if boxed := next(_boxes(line), ""):
        return boxed
    line = re.sub(r"^(?:[*_~]+[ \t]+|[:\uff1a]\s*)+", "", line)
    line = _LEAD_IN.sub("", line) or line
    if line[:1] in "[{(":
        end = _closed(line, 0)
        return line[:end] if end and _MORE.match(line, end) else line
    return line if line[:1] in "'\"`" else _SENTENCE_END.split(line, maxsplit=1)[0]


def _tagged(text: str) -> Iterator[str]:
    yield from (said for match in _last(_TAG, text) if (said := match[2].strip()))


def _fields(text: str) -> Iterator[str]:
    for match in _last(_FIELD, text):
        try:
            value, _ = json.JSONDecoder(strict=False).raw_decode(text[match.end() : match.end() + LONGEST])
        except (ValueError, RecursionError):
            continue
        if said := _as_text(value):
            yield said


def _as_text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "unknown"}[value]
    return value.strip() if isinstance(value, str) else repr(value)


def _boxes(text: str) -> Iterator[str]:
    for match in _last(_BOXED, text):
        end = closing_brace(text, match.end())
        if end is not None and text[match.end() : end].strip():
            yield text[match.end() : end].strip()


# --- abstentions ----------------------------------------------------------------------------------------

_CANNOT = r"(?:can\s?not|can't|couldn't|could not|(?:am |are |is )?(?:unable|not able|impossible|not possible) to)"
_KNOW = (
    r"(?:be\s+)?(?:\w+ly\s+)?(?:determin|answer|say|tell|know|comput|calculat|conclu|decid|verif|provid|giv|establish|"
    r"infer|predict)"
)
_ABSTENTION = re.compile(
    r"(?:i\s+|we\s+)?(?:do not|don't)\s+know\b.*|"
    rf"(?:(?:i|we|it|this|the answer|that|it is|it's)\s+)?{_CANNOT}\s+{_KNOW}.*|"
    r"(?:it|that|this|the answer)?\s*depends\b.*|"
    r"(?:i\s+am|i'm|it\s+is|it's|the\s+answer\s+is)?\s*(?:un(?:known|clear|sure|certain|determined|decided|determinable)|"
    r"indeterminate|inconclusive|not\s+(?:sure|known|certain|clear|enough|determinable|applicable|available|given|stated)|"
    r"insufficient)(?:[ ,.;:]+(?:at|without|from|based|whether|how|because|due|to|if|as|since|given|what|which|who|"
    r"when|why|or|information|data|value|answer|evidence|context|here|yet)\b.*)?|"
    r"(?:there\s+is\s+|there's\s+)?(?:not\s+enough|insufficient|no)\s+(?:information|data|context|evidence)\b.*|"
    r"i\s+(?:abstain|have\s+no\s+(?:idea|answer|opinion)|would\s+need\s+more)\b.*|"
    r"none|n/?a|n\.a\.|null|nil|no\s+(?:final\s+)?answer|abstain|abstention|tbd|[-?.]+",
    re.IGNORECASE | re.DOTALL,
)


def _abstains(said: str) -> bool:
    if said.startswith("`"):  # code: Python's None, a string
        return False
    return _ABSTENTION.fullmatch(bare(characters(said[:LONGEST]))) is not None


# --- options --------------------------------------------------------------------------------------------

_LABEL = re.compile(r"^\W{0,3}([A-Za-z]|\d{1,2})\s?[).:\]]\s*(?=\S)")


def _of_options(said: str, options: Sequence[str]) -> FinalAnswer | None:
    """The answer as the option that it names by label, place or words."""
    if not options:
        return None
    labels = [(match[1].lower() if (match := _LABEL.match(option)) else "") for option in options]
    words = [normalise(_LABEL.sub("", option)) for option in options]
    names = [label or word for label, word in zip(labels, words, strict=True)]
    normal = normalise(_LABEL.sub("", said))
    letter = normalise(said, "choice")
    for i, word in enumerate(words):
        if word and word in (normal, normalise(said)):
            return FinalAnswer(text=_shown(said), normal=names[i])
    places = labels if all(labels) else [chr(ord("a") + i) for i in range(len(options))]
    if letter in places and names[places.index(letter)]:
        return FinalAnswer(text=_shown(said), normal=names[places.index(letter)])
    if named := _named(said, options):
        return FinalAnswer(text=_shown(said), normal=names[words.index(normalise(named))])
    return None


# --- the conclusion of prose ----------------------------------------------------------------------------

_ANSWER_IS = re.compile(
    r"\b(?:answer|correct\s+(?:option|choice|statement))\s+(?:is|would\s+be|must\s+be|should\s+be)\b\s*:?\s*"
    r"(?!correct\b|as\b|that\b|not\b)([^\n]{1,300})",
    re.IGNORECASE,
)


def _concluded(tail: str, question_type: QuestionType | None, options: Sequence[str]) -> str | None:
    """What prose comes to, in its own words."""
    if question_type == "number":
        return _number_concluded(tail)
    if question_type in (None, "open") and not options and (literal := _literal_concluded(tail)):
        return literal
    said = _last_answer_is(tail)
    if question_type == "yes-no":
        return said if said and normalise(said, "yes-no") in ("yes", "no") else _side_concluded(tail)
    if question_type == "choice" or options:
        return _option_concluded(said or "") or _option_concluded(tail) or _named(tail, options) or said
    return said


def _gist(stated: str, question_type: QuestionType | None) -> str:
    """A statement that is a whole sentence, reduced to the figure or literal that it comes to."""
    if len(stated.split()) < 4 or stated[:1] in "'\"[{(" or BOUND.search(stated):
        return stated
    if question_type == "number":
        return _number_concluded(stated) or stated
    if question_type == "choice":
        return _option_concluded(stated) or stated
    return stated


def _last_answer_is(tail: str) -> str | None:
    found = list(_ANSWER_IS.finditer(tail))
    if not found:
        return None
    said = found[-1][1].strip()
    return said if said[:1] in "'\"`[{(" else _SENTENCE_END.split(said, maxsplit=1)[0]


_BEGINS = re.compile(
    r"[\W_]{0,9}(?:(?:so|therefore|thus|hence|overall|in conclusion|in short),?\s+)?(yes|no)\b(?!-|\s+\w)",
    re.IGNORECASE,
)


def _side_concluded(tail: str) -> str | None:
    """The last yes or no that begins a sentence and stands for itself."""
    for sentence in reversed(_SENTENCES.split(tail)):
        if found := _BEGINS.match(sentence):
            return found[1]
    return None


_LETTER = re.compile(
    r"(?:\b(?i:option|choice|answer|letter|statement|choose|select|pick|is|be)\b[\s:*_]{0,6}"
    r"[(\[]?\**([A-Z])\b(?!'|(?<=I)\s+[a-z])\**[)\].:,;*]?(?=[\s.,:;)*]|$))|\(([A-Z])\)|"
    r"\*\*\(?([A-Z])[).:]?(?:\s[^*\n]{0,80})?\*\*|^\W{0,4}([A-J])\W{0,3}$|"
    r"\b([A-Z])\s+is\s+(?:the\s+)?(?:correct|right|best)\b",
    re.MULTILINE,
)


def _option_concluded(tail: str) -> str | None:
    """The letter that the text names last."""
    found = list(_LETTER.finditer(tail))
    return next(group for group in found[-1].groups() if group) if found else None


def _named(tail: str, options: Sequence[str]) -> str | None:
    """The one option whose words the last sentence that has any of them holds; None when it has several."""
    words = [_LABEL.sub("", option).strip() for option in options]
    for sentence in reversed(_SENTENCES.split(tail)):
        lower = sentence.casefold()
        held = [word for word in words if word and re.search(rf"(?<!\w){re.escape(word.casefold())}(?!\w)", lower)]
        held = [word for word in held if not any(word != other and word in other for other in held)]
        if held:
            return held[0] if len(held) == 1 else None
    return None


_SENTENCES = re.compile(r"(?<=[.!?。])\s+|\n+|(?<=[a-z)\]'\"`\d]\.)(?=[A-Z][a-z]*\b)")
_FIGURE = re.compile(
    r"(?<![\w.,/])(?:(?<![\d)])[-\u2212])?(?:[$€£]\s?)?(?<![\d.])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?%?(?!\d)(?!-\w)"
)
_RESULTS_IN = re.compile(
    r"(?:[=≈≅]|\bequals|\bis equal to|\brounds? (?:up |down |off )?to|\bresult(?:s|ing) in|\brounded [^.]{0,40} is)"
    r"\s*(?:approximately |about |roughly |a total of )?[*_\\({]{0,4}\s*$"
)
_ASIDE = re.compile(
    r"(?:\b(?:in|for|of|over|after|from|to|by|within|per|every|than|between|at|on|with|all|these|the|those|each|"
    r"next|first|last|times|step|until|if|when|since|because|a|are each)|[*/x\u00d7+÷#-])\s*[$€£]?$",
    re.IGNORECASE,
)
_SUM_OF = re.compile(
    r"\b(?:(?:total|sum|profit|loss|area|average|amount|cost|price|number|speed|distance|length|income|age|value|"
    r"difference|out|savings|increase|decrease|height|weight|volume|discount|balance|remainder|salary|result)"
    r"\s+(?:of|to|at|by)|lea?(?:ving|ves?|ft)\s+(?:\w+\s+){0,2}with)\s*$",
    re.IGNORECASE,
)
_PURPOSE = re.compile(
    r"\s(?:to\s+(?!be\b|a\b|the\b)[a-z]{3,}|because|since|if|when|in order|by\s+[a-z]+ing|after\s+[a-z]+ing|during|"
    r"so that)\b.*",
    re.IGNORECASE | re.DOTALL,
)
_PARENTHESES = re.compile(r"\([^()]{0,200}\)")
_OR_ELSE = re.compile(r"\s*,?\s*or\s+(?=[$€£]?\d)")


def _number_concluded(tail: str) -> str | None:
    """The figure that the last sentence with figures comes to: behind its last "=", else its main one."""
    for sentence in reversed(_SENTENCES.split(tail)):
        plain = _PARENTHESES.sub(" ", sentence)
        found = _result(plain) or _main_figure(_PURPOSE.sub("", plain)) or _main_figure(plain) or _result(sentence)
        if found or (found := _main_figure(sentence)):
            return found
    return None


def _result(sentence: str) -> str | None:
    """The last figure behind a "=" or the like; the other way of saying it, where one follows ("0.7 or 70%")."""
    figures = reversed(list(_FIGURE.finditer(sentence)))
    found = next((figure for figure in figures if _RESULTS_IN.search(_before(sentence, figure))), None)
    if found is None:
        return None
    said_again = _OR_ELSE.match(sentence, found.end())
    other = _FIGURE.match(sentence, said_again.end()) if said_again else None
    return (other or found)[0]


def _main_figure(sentence: str) -> str | None:
    """The last figure that is no aside, as in "for 3 months"; when all of them are, the last one."""
    figures = list(reversed(list(_FIGURE.finditer(sentence))))
    main = (figure for figure in figures if not _is_aside(_before(sentence, figure)))
    return next(main, figures[0])[0] if figures else None


def _before(text: str, match: re.Match[str]) -> str:
    return text[max(0, match.start() - 60) : match.start()]


def _is_aside(before: str) -> bool:
    return _ASIDE.search(before) is not None and _SUM_OF.search(before) is None


_CANDIDATE = re.compile(
    r"""(?P<call>(?<![\w'"])[A-Za-z_][\w.]*\()|(?P<open>[\[({])|"""
    r"""(?P<quoted>(?<!\w)[bu]?(?:'(?:[^'\n\\]|\\.){0,300}'|"(?:[^"\n\\]|\\.){0,300}")(?!\w))|"""
    r"""(?P<code>(?<!`)`[^`\n]{1,300}`)|"""
    r"""(?P<plain>(?<![\w.'-])(?:True|False|None)\b|(?<![\w.])-?\d+(?:\.\d+)?(?![\w]))|"""
    r"""(?P<empty>\bempty\s+(?:list|array|string|dict(?:ionary)?|tuple)\b(?!\s*[`'"\[({]))"""
)
_EMPTY = {"l": "[]", "a": "[]", "s": "''", "d": "{}", "t": "()"}
_RESULT = re.compile(
    r"(?:\b(?:is|are|be|returns?|returned|returning|outputs?|becom(?:es?|ing)|gives?|yield(?:s|ing)?|gets?|results? in|"
    r"(?:evaluates?|simplifies|maps|mapped|converts?|converted)(?: it)? to|leaving \w+ with|resulting in|result|"
    r"equals?|remains?|contain(?:s|ing)?|literal|string|list|dictionary|tuple|value|integer|number|array|boolean|leaving|"
    r"have|into|us|just|simply|still|also|as|equal to|completed with|object)|==|[:=>])\s*(?:an?\s|the\s)*\s*[`*]*$",
    re.IGNORECASE,
)
_GIVEN = re.compile(
    r"(?:\b(?:inputs?|index|indices|given|position|argument|(?:ends?|starts?|called|matched?|filled|replaced) with|"
    r"because|since|where|if|whether|character|digit|suffix|key|variable|compared|excludes?|last)\b"
    r"(?:(?!becom|leav|giv|yield|==|\bget\b|would|will|should)[^,.:'\"`()\[\]]){0,24}|"
    r"(?<!resulting )(?<!results )(?<!result )\b(?:in|of|at|by|than|from|and)\s+(?:the\s+)?(?:\w+\s+)?)[`*]*$",
    re.IGNORECASE,
)
_CONCLUDES = re.compile(
    r"(?:output|result|return|answer|assert)(?![^.]{0,60}\b(?:because|since|if|where)\b)", re.IGNORECASE
)


def _literal_concluded(tail: str) -> str | None:
    """The last literal of the text that stands where results stand; else the last one of all."""
    found = list(reversed(list(_literals(tail))))
    if all(_PLAIN.fullmatch(said) for said, _ in found):
        return _number_concluded(tail)
    good = (said for said, before in found if _RESULT.search(before) and not _is_given(before))
    fair = (said for said, before in found if not _is_given(before))
    return next(good, None) or next(fair, found[0][0])


def _is_given(before: str) -> bool:
    """Whether what follows is what the question gave or a part of the way, no result."""
    return _GIVEN.search(before) is not None and _CONCLUDES.search(before) is None


_PLAIN = re.compile(r"-?\d+(?:\.\d+)?")
_NAME = re.compile(r"[A-Za-z_][\w.]*(?:\([\w, ]*\))?")


def _literals(text: str) -> Iterator[tuple[str, str]]:
    """Literals outermost, each with what stands before it. What a function is called with is none."""
    at = open_ended = 0
    while open_ended < _MOST and (match := _CANDIDATE.search(text, at)):
        at, before = match.end(), _before(text, match)
        if match["empty"]:
            yield _EMPTY[match[0].split()[-1][0].lower()], before
        elif match["code"]:
            yield from _in_code(match[0][1:-1], before)
        elif match["quoted"] or match["plain"]:
            yield match[0], before
        elif (end := _closed(text, match.end() - 1)) is None:
            open_ended += 1
        else:
            at = end
            if match["open"] and (match["open"] != "(" or "," in text[match.start() : end]):
                yield text[match.start() : end], before


def _in_code(said: str, before: str) -> Iterator[tuple[str, str]]:
    """What backticks hold, unless it is a bare name; of an equation its right side."""
    if not _NAME.fullmatch(said) or said in ("True", "False", "None"):
        result = re.split(r"\s={1,2}\s", said)[-1].strip()
        yield result, before if result == said else f"{before}=="


_BRACKET = re.compile(r"""[\[\](){}]|(?<!\w)'[^'\n]{0,200}'(?!\w)|"[^"\n]{0,200}"(?!\w)""")


def _closed(text: str, start: int) -> int | None:
    """Where the bracket at ``start`` is closed again, texts in quotes skipped."""
    depth = 0
    for match in _BRACKET.finditer(text, start, start + LONGEST):
        depth += (match[0] in "[({") - (match[0] in "])}")
        if depth == 0:
            return match.end()
    return None
