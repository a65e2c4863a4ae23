r"""One form for all the ways of writing the same answer, so that votes can be counted.

Numbers lose their format and unit, options their brackets, words their case and article, all of them what
decorates them: "**$1,200.00**" and "\boxed{1200}" are ``1200``, "(C)" is ``c``. Lists and the like, as Python or JSON
write them, are compared by what they hold.

What is left to judgement:

- Units do not count: "20 hours" is ``20``, "20 %" too. A panel answers one question, and some of it leave the unit
  out. Where two name units that contradict each other, :mod:`core.votes.units` tells.
- Case does not count, except in words whose capitals stand where no writer puts them ("aBc" is not "abc"): those come
  from code. Names in camel case ("JavaScript", "iPhone") are ordinary words.
- A text in quotes is the same as without. Several spaces in a row are not one (nobody writes them but for a reason);
  spaces at the ends do not count. Within lists every character of a text counts.
"""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any

from core.asks import QuestionType

LONGEST = 1000
"""Characters of an answer that are compared; what comes after them does not count."""

_DEEPEST = 20  # brackets within brackets that are still taken for a list
_ROUNDS = 12  # how often the rules are applied until nothing changes; two are the rule


def normalise(text: str, question_type: QuestionType | None = None) -> str:
    """The form in which equal answers are equal. Applied to its own result it changes nothing; it never raises.

    What a type adds: "number" finds the one number in a phrase, "yes-no" takes "true" or "Yes, because …",
    "choice" takes "B: …". Empty for a text without content.
    """
    now = characters(text[:LONGEST])
    for _ in range(_ROUNDS):
        before, now = now, _normal(now, question_type)
        if now == before:
            break
    return now


def same(a: str, b: str) -> bool:
    """Whether two answers are equal once normalised; numbers by value, to a millionth of the greater one."""
    one, other = normalise(a), normalise(b)
    if one == other:
        return True
    if not (_PLAIN_NUMBER.fullmatch(one) and _PLAIN_NUMBER.fullmatch(other)):
        return False
    x, y = Decimal(one), Decimal(other)
    return abs(x - y) <= max(abs(x), abs(y)) * Decimal("1e-6")


def _normal(text: str, question_type: QuestionType | None) -> str:
    """One application of the rules: the first that knows the text decides."""
    text = bare(text)
    rules: list[Callable[[str, QuestionType | None], str | None]] = [_literal, _number, _yes_no, _option]
    if question_type == "choice":
        rules = [_option, _literal, _number]
    for rule in rules:
        if (found := rule(text, question_type)) is not None:
            return found
    return _words(text)


# --- characters and decoration --------------------------------------------------------------------------

_SUPERSCRIPT = re.compile("([⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_FRACTION = re.compile(r"(\d?)([¼-¾⅐-⅞])")
_LOOKALIKES = {
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-"),
    **dict.fromkeys(map(ord, "\u2018\u2019\u201a"), "'"),
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u00ab\u00bb"), '"'),
    **dict.fromkeys(map(ord, "\u200b\u2060\ufeff"), ""),
    ord("\u2044"): "/",
}


def characters(text: str) -> str:
    """The text with one character for all that look the same: NFKC, plain quotes, dashes and minus signs."""
    if text.isascii():
        return text
    text = _SUPERSCRIPT.sub(r"^\1", _FRACTION.sub(r"\1 \2", text))
    for _ in range(3):  # what is composed anew may look like something else again
        before, text = text, unicodedata.normalize("NFKC", text).translate(_LOOKALIKES)
        if text == before:
            break
    return text


_BRACKETS = ("[]", "()", "{}")
_PAIRS = (
    *(("**", "**"), ("__", "__"), ("~~", "~~"), ("```", "```"), ("``", "``"), ("`", "`"), ("*", "*")),
    *(("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("<b>", "</b>"), ("<answer>", "</answer>")),
)
_MACRO = re.compile(r"\\(?:boxed|fbox|text(?:bf|it|tt|rm)?|math(?:rm|bf|it|tt|sf)|mbox|operatorname)\s*\{")
_TEX = re.compile(r"\\(?:[dt]?frac|left|right|[,;!: ]|[%$#&_]|%|approx|(?:\^)?circ|degree)|\^\s*\{?\\circ\}?|\{,\}")
_FRAC = re.compile(r"(\d?)\\[dt]?frac\s*(?:\{([^{}]{1,40})\}\s*\{([^{}]{1,40})\}|(\d)\s*(\d))")
_END_TOKENS = re.compile(r"(?:\s*(?:</?s>|\[/?INST\]|<\|[a-z_]{1,20}\|>|<end_of_turn>))+$", re.IGNORECASE)
_LEAD = re.compile(r"^(?:#+\s+|(?:>+\s++)+(?![-$€£.]*\d)|[-*•]\s+|[=≈~:]+\s*)")


def bare(text: str) -> str:
    """The text without what decorates it: markup, quotes, LaTeX, a full stop at its end."""
    text = text.strip()
    for _ in range(_ROUNDS):
        before, text = text, _peeled(text)
        if text == before:
            break
    return text


def _peeled(text: str) -> str:
    """One layer of decoration less, or the text as it is."""
    if _is_quoted(text):
        return _unquoted(text)
    for left, right in _PAIRS:
        inner = text[len(left) : -len(right)]
        if text.startswith(left) and text.endswith(right) and inner.strip() and left not in inner.replace(r"\$", ""):
            return inner.strip()
    if text[:1] + text[-1:] in _BRACKETS and _evaluated(text)[1]:
        return text
    if "\\" in text or "{,}" in text:
        text = _without_tex(text)
    text = _LEAD.sub("", _END_TOKENS.sub("", text)) or text
    return _without_stop(text)


def _is_quoted(text: str) -> bool:
    if len(text) < 3 or text[0] != text[-1] or text[0] not in "\"'":
        return False
    inner = text[1:-1].replace("\\" + text[0], "")
    return text[0] not in inner or inner[0] + inner[-1] in _BRACKETS


def _unquoted(text: str) -> str:
    inner = text[1:-1].replace("\\" + text[0], text[0]).strip()
    return inner or text


def _without_tex(text: str) -> str:
    text = _FRAC.sub(_tex_fraction, text) if "frac" in text else text
    if (macro := _MACRO.search(text)) and (end := closing_brace(text, macro.end())) is not None:
        text = f"{text[: macro.start()]}{text[macro.end() : end]}{text[end + 1 :]}"
    return _TEX.sub(_tex_character, text).strip() or text


def _tex_fraction(match: re.Match[str]) -> str:
    whole, top, bottom = match[1], match[2] or match[4], match[3] or match[5]
    return f"{whole}{' ' if whole else ''}({top})/({bottom})"


def _tex_character(match: re.Match[str]) -> str:
    found = match[0]
    if found == "{,}":
        return ","
    if len(found) == 2 and found[1] in "%$#&_":
        return found[1]
    return found if "frac" in found else ""


def closing_brace(text: str, start: int) -> int | None:
    """Where the brace ends that is open at ``start``; None when it does not within an answer's length."""
    depth = 1
    for i in range(start, min(len(text), start + LONGEST)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return i
    return None


def _without_stop(text: str) -> str:
    """Without full stops, commas and half of a pair of asterisks at the end, if something is left then."""
    end = text.rstrip(" \t\n.,;:。!")
    for mark in ("**", "`"):
        if text.count(mark) == 1 and (text.startswith(mark) or end.endswith(mark)):
            end = end.removeprefix(mark).removesuffix(mark).strip()
    return end if any(c.isalnum() for c in end) or end[-1:] in set(")]}'\"*`") else text


# --- lists and other literals ---------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>[uUbB]?(?:'(?:[^'\\\n]|\\(?:['"\\nrtabfv]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U000[0-9a-fA-F]{5}))*+'|"""
    r""""(?:[^"\\\n]|\\(?:['"\\nrtabfv/]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U000[0-9a-fA-F]{5}))*+"))|"""
    r"""(?P<number>-?(?:0|[1-9]\d*+)(?:\.\d*+)?+(?:[eE][-+]?\d{1,3}+)?+)(?![\w.])|"""
    r"""(?P<word>(?:true|false|null|True|False|None)\b)|(?P<mark>[\[\](){},:]))\s*"""
)
_JSON_WORDS = {"true": "True", "false": "False", "null": "None"}


def _literal(text: str, question_type: QuestionType | None) -> str | None:
    """A list, tuple, dict or set by what it holds; a text whose spaces count, in its quotes."""
    if len(text) < 2 or text[0] + text[-1] not in (*_BRACKETS, "''", '""'):
        return None
    value, known = _evaluated(text)
    if not known:
        return None
    if isinstance(value, str):
        return repr(characters(value))
    if isinstance(value, list | tuple | set) and len(value) == 1 and question_type in ("number", "yes-no", "choice"):
        return str(next(iter(value)))
    return _canonical(value)


def _evaluated(text: str) -> tuple[Any, bool]:
    """A literal's value, and whether it is one. Only what is made of its tokens alone is parsed, nothing deep."""
    parts: list[str] = []
    at = depth = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            return None, False
        at, mark = token.end(), token["mark"]
        depth += (mark in ("[", "(", "{")) - (mark in ("]", ")", "}")) if mark else 0
        if depth > _DEEPEST:
            return None, False
        word = token["word"]
        parts.append(_JSON_WORDS.get(word, word) if word else token[0].strip().replace("\\/", "/"))
    try:
        return ast.literal_eval(" ".join(parts)), True
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None, False


def _canonical(value: Any) -> str:
    """A literal in one spelling, whatever its spaces, quotes and order of keys."""
    if isinstance(value, dict):
        pairs = sorted((_canonical(key), _canonical(item)) for key, item in value.items())
        return "{" + ", ".join(f"{key}: {item}" for key, item in pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_canonical, value)) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_canonical, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, set):
        return "{" + ", ".join(sorted(map(_canonical, value))) + "}"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(characters(value) if isinstance(value, str) else value)


# --- numbers --------------------------------------------------------------------------------------------


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = {
    **{word: Decimal(n) for n, word in enumerate(_ONES)},
    **{word: Decimal(10 * n) for n, word in enumerate(_TENS, 2)},
    "half": Decimal("0.5"),
}
_SCALE = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_UNITS = _set(
    "percent hours hour minutes minute seconds second days day weeks week months month years year dollars dollar euros "
    "euro cents cent pounds pound times people items meters metres miles feet inches degrees points units pieces ways "
    "km m cm mm kg g mg l ml h hr hrs min mins s ms ft in lb lbs oz mph usd eur gb mb kb tb °c °f ° %"
)
_NOT_UNITS = _set(
    "and or to of x by vs am pm a.m. p.m. ad bc bce ce st nd rd th plus minus mod is in on at "
    "january february march april may june july august september october november december "
    "jan feb mar apr jun jul aug sep sept oct nov dec third thirds quarters fifth fifths sixths eighths tenths"
)
_FIGURE = r"(?:\d{1,3}(?:,\d{2,3})*,\d{3}|\d+)(?:\.\d+)?|\.\d+"
_EXPONENT = r"(?:e([-+]?\d{1,3})|\s*(?:[x\u00d7*\u00b7]|\\times|\\cdot)\s*10\s*(?:\^|\*\*)\s*[({]?([-+]?\d{1,3})[)}]?)?"
_CURRENCY = r"(?:us\$|[$€£¥₹]|usd\b|eur\b|gbp\b|rs\.?(?=\s*\d))"
_NUMBER = re.compile(
    rf"(?P<sign>[-+]?)\s*{_CURRENCY}?\s*(?P<sign2>[-+]?)(?P<whole>{_FIGURE}){_EXPONENT}"
    r"(?P<short>(?<=\d)[kmb](?![\w]))?(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_RATIO = re.compile(
    r"(?P<sign>-?)\s*(?:(?P<whole>\d{1,9})\s+)?(?P<sign2>-?)\(?(?P<top>-?\d{1,12})\)?\s*/\s*"
    r"\(?(?P<bottom>\d{1,12})\)?(?P<rest>(?:[^\d/].*)?)",
    re.DOTALL,
)
_ABOUT = re.compile(
    r"^(?:(?:approximately|approx\.?|about|around|roughly|nearly|exactly|only|a total of|equal to)\s+|"
    r"(?!e\b)[a-z]\w{0,2}\s*=\s*|[=≈~]\s*)+",
    re.IGNORECASE,
)
_PLAIN_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:E[-+]\d+)?")
BOUND = re.compile(
    r"(?:[<>≤≥±√]|\b(?:(?:less|more|fewer|greater|higher|lower|larger|smaller)\s+than|at\s+(?:least|most)|up\s+to|"
    r"between)|^\W*(?:over|under|above|below))\s*[$€£]?-?\d|\d\s*(?:\+$|±|π|pi\b|bce?\b|[ap]\.?m\b)|"
    r"\bor\s+(?:more|less|fewer|higher|lower|above|below)\b",
    re.IGNORECASE,
)
"""What makes a number a bound or something else than itself: "at least 5", "> 5", "5+", "2π", "500 BC"."""
_COMMA = re.compile(r"([-+]?\s*(?:[$€£]\s*)?\d{1,9}),(\d{1,2}|\d{4,9})(?!\d)")
_EUROPEAN = re.compile(r"^(\D{0,8})(\d{1,3}(?:\.\d{3})+),(\d{1,6})(?!\d)(.*)", re.DOTALL)
_ANY_FIGURE = re.compile(r"(?<![\w.,])-?(?:\d{1,3}(?:,\d{3})+|\d{1,40})(?:\.\d{1,40})?(?![\w,.]*\d)")
_SPACED = re.compile(r"(?<=\d)[ '](?=\d{3}(?!\d))")


def _number(text: str, question_type: QuestionType | None) -> str | None:
    """A number with at most a unit of four words behind it, in plain figures."""
    text = _ABOUT.sub("", text) or text
    if BOUND.search(text):
        return None
    if question_type == "number":
        text = _SPACED.sub("", _COMMA.sub(r"\1.\2", text))
    text = _EUROPEAN.sub(lambda m: f"{m[1]}{m[2].replace('.', '')}.{m[3]}{m[4]}", text)
    value = _ratio(text, question_type)
    if value is None:
        value = _figures(text, question_type) if _has_digit(text) else _in_words(text, question_type)
    if value is None and question_type == "number" and len(found := _ANY_FIGURE.findall(text)) == 1:
        value = Decimal(found[0].replace(",", ""))
    return None if value is None else _plain(value)


def _has_digit(text: str) -> bool:
    return any(c in "0123456789" for c in text)


def _ratio(text: str, question_type: QuestionType | None) -> Decimal | None:
    found = _RATIO.fullmatch(text)
    if not found or not int(found["bottom"]) or not _is_unit(found["rest"], question_type):
        return None
    with localcontext(prec=12):
        value = int(found["whole"] or 0) + Decimal(found["top"]) / Decimal(found["bottom"])
    return -value if "-" in (found["sign"], found["sign2"]) else value


def _figures(text: str, question_type: QuestionType | None) -> Decimal | None:
    found = _NUMBER.fullmatch(text)
    if not found or (found["short"] and not re.search(_CURRENCY, text[:6], re.IGNORECASE) and found["short"] != "k"):
        return None
    digits = found["whole"]
    if len(digits) > 1 and digits[0] == "0" and digits[1] != "." and question_type != "number":
        return None  # 007 is a name, no number
    scale, rest = _scaled(found["rest"])
    if not _is_unit(rest, question_type):
        return None
    value = Decimal(digits.replace(",", "")).scaleb(int(found[4] or found[5] or 0)) * scale
    value *= {"k": 1000, "m": 10**6, "b": 10**9}.get((found["short"] or "").lower(), 1)
    return -value if "-" in (found["sign"], found["sign2"]) else value


def _scaled(rest: str) -> tuple[int, str]:
    """The factor of "million" and its like at the start of what follows a number, and what follows them."""
    word, _, more = rest.strip().partition(" ")
    known = _SCALE.get(word.lower()) if rest[:1].isspace() else None
    return (known, " " + more) if known else (1, rest)


def _is_unit(rest: str, question_type: QuestionType | None) -> bool:
    """Whether what follows a number is nothing or its unit. Words that are no unit make it a text: "5 pm"."""
    if not rest.strip():
        return True
    words = rest.lower().replace("(", " ").replace(")", " ").split()
    if not words or len(words) > 4 or words[0] in _NOT_UNITS or _has_digit(rest.replace("^2", "").replace("^3", "")):
        return False
    if not rest[0].isspace():
        return re.split(r"[/^*]", words[0], maxsplit=1)[0].rstrip(".") in _UNITS or rest[0] in "%°€£$"
    return words[-1] not in _NOT_UNITS and all(_UNIT_WORD.fullmatch(word) for word in words)


_UNIT_WORD = re.compile(r"[^\W\d_][\w'./^²³-]{0,20},?|[%°€£$]\w?")


def _in_words(text: str, question_type: QuestionType | None) -> Decimal | None:
    """Twenty-one, a dozen eggs, two hundred. A unit behind them must be a known one, as "two towers" are none."""
    words = text[:80].lower().replace("-", " ").split()
    total, last, used = Decimal(0), 0, 0
    for word in words:
        if word in _SCALE:
            total = (total or Decimal(1)) * _SCALE[word]
        elif word in _SMALL and (not used or words[used - 1] in _SCALE or (last >= 20 and _SMALL[word] < 10)):
            total, last = total + _SMALL[word], int(_SMALL[word])
        elif not (word in ("a", "an") and not used):
            break
        used += 1
    if not used or words[:used] in (["a"], ["an"]) or not text[:80].strip():
        return None
    rest = words[used:]
    if rest and question_type != "number" and rest[0] not in _UNITS:
        return None
    return total if len(rest) <= 4 and not {*rest[:1]} & _NOT_UNITS else None


def _plain(value: Decimal) -> str:
    """A number in figures, without needless zeros; with an exponent beyond 30 digits."""
    try:
        value = value.normalize() if value else Decimal(0)
    except InvalidOperation:  # out of all bounds
        return str(value)
    return format(value, "f") if -12 < value.adjusted() < 30 else str(value)


# --- yes or no, options, words --------------------------------------------------------------------------

_YES = _set("yes yeah yep yup yea aye affirmative oui ja sí si да 是 はい")
_NO = _set("no nope nah nay negative non nein нет 否 いいえ")
_TRUE = _set("true correct right definitely absolutely certainly probably likely possible agree agreed")
_FALSE = _set("false incorrect wrong never unlikely impossible disagree")
_PLAIN_SIDE = re.compile(r"(?:(yes|yeah|yep|yup)|nope|nah|no)(?:(?:[,;:!]|\.(?!\s*\d)| -)\s.*)?", re.DOTALL)
_CONDITION = re.compile(
    r"\w+[\s,;:.-]+(?:(?:but|and|though|although)\s+)?"
    r"(?:(?:only\s+)?(?:if|when|where)|unless|provided|as long as|depend(?:s|ing))\b|"
    r"\w+\s*,?\s*(?:and|or|/)\s*(?:yes|no)\b|no\s+(?:doubt|question)\b"
)
"""What makes a yes or no an answer of its own: "yes, but only if …", "yes and no"; "no doubt" is no no."""
_ASKED_SIDE = re.compile(
    r"(?:(?:i(?:'d| would)? (?:think|believe|say)(?: that)?|(?:it|that|this) is|most|very|almost|quite|probably|"
    r"likely|certainly|definitely|clearly),?\s+){0,3}(?P<not>not\s+)?(?P<word>\w+)(?P<more>\s+\w)?"
)


def _yes_no(text: str, question_type: QuestionType | None) -> str | None:
    """Yes or no, alone or before a comma. For a yes-no question any word for it, also before other words."""
    lower = text[:LONGEST].lower()
    if _CONDITION.match(lower):
        return None
    if question_type == "yes-no":
        return _side(lower)
    found = _PLAIN_SIDE.fullmatch(lower)
    return None if found is None else "yes" if found[1] else "no"


def _side(lower: str) -> str | None:
    found = _ASKED_SIDE.match(lower)
    if found is None:
        return None
    word, alone = found["word"], not found["more"]
    if word in _YES | _NO and not found["not"]:
        return "yes" if word in _YES else "no"
    if alone and word in _TRUE | _FALSE:
        return "yes" if (word in _TRUE) != bool(found["not"]) else "no"
    return None


_OPTION = re.compile(
    r"(?:(?:the\s+)?(?:correct\s+|best\s+)?(?:option|choice|answer|letter|statement)\s*:?\s*)?"
    r"(?:[(\[]\s*([a-z])\s*[)\]]|([a-z])\s*\))(?:[\s:.,-].*)?|"
    r"(?:the\s+)?(?:correct\s+|best\s+)?(?:option|choice|letter)\s*:?\s*[*_(]*([a-z]|\d{1,2})\b[*_)]*(?:[\s:.,-].*)?|([a-z])",
    re.IGNORECASE | re.DOTALL,
)
_ASKED_OPTION = re.compile(
    r"\**([a-z]|\d{1,2})\**\s*(?:[:.)](?!\d)|-\s(?!\d)).*|"
    r"([a-z])\s+(?:is(?!\s+(?:not|wrong|false|incorrect)\b)|because|as|since)\b.*",
    re.IGNORECASE | re.DOTALL,
)
_ANOTHER_OPTION = re.compile(
    r"\s*[)\].]?\s*(?:,\s*(?:or|and)\b|[,/&]|or\b|and\b|nor\b)\s*(?:(?:option|choice|letter|statement)\s+)?"
    r"(?:[(\[]\s*[a-z]\s*[)\]]|[a-z]\s*\)|(?:[a-z]|\d{1,2})(?=\W*$))",
    re.IGNORECASE,
)


def _option(text: str, question_type: QuestionType | None) -> str | None:
    """The letter of an option, however it is set off; for a choice also "B: …" and "B. …"."""
    found = _OPTION.fullmatch(text)
    if not found and question_type == "choice":
        found = _ASKED_OPTION.fullmatch(text)
    if not found or _ANOTHER_OPTION.match(text, found.end(found.lastindex or 0)):
        return None
    return found[found.lastindex or 0].lower()


_WORD = re.compile(r"[^\W\d_]+")
_ORDINARY = re.compile(
    r"[A-Z]?[a-z]*|[A-Z]+s?|[A-Z]?[a-z]*(?:[A-Z][a-z]{2,})+|(?:[A-Z][a-z]+|[a-z]{2,})(?:[A-Z][a-z]{2,})*[A-Z]{2,}"
)
_BREAK = re.compile(r" *[^\S ]\s*")
_ARTICLE = re.compile(r"^(?:(?:the|an?)\s+(?=\w\w))+", re.IGNORECASE)


def _words(text: str) -> str:
    return _WORD.sub(_folded, _ARTICLE.sub("", _BREAK.sub(" ", text)))


def _folded(match: re.Match[str]) -> str:
    word = match[0]
    return word.casefold() if not word.isascii() or _ORDINARY.fullmatch(word) else word
