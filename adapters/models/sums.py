"""What simulated members can work out: plain arithmetic, and a few yes-or-no questions on whole numbers."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from fractions import Fraction

_LARGEST = 10**15
"""No figure on the way may be larger: whoever asks for a tower of powers is told that nobody can tell."""

_LEAD = re.compile(
    r"^(?:please\s+)?(?:(?:what(?:'s| is| are)|how much (?:is|are)|calculate|compute|work out|solve|evaluate)\s+)?"
    r"(?:the (?:result|value|sum|product) of\s+)?",
    re.IGNORECASE,
)
_WORDS = (
    (r"(?<=\d)\s*(?:%|percent)\s*of\s*(?=[\d(])", "/100*"),
    (r"\bplus\b", "+"),
    (r"\bminus\b|[\u2212\u2013]", "-"),
    (r"\b(?:times|multiplied by)\b|[\u00d7\u00b7]|(?<=[\d)])\s*x\s*(?=[\d(])", "*"),
    (r"\b(?:divided by|over)\b|\u00f7", "/"),
    (r"\bsquared\b|\u00b2", "**2"),
    (r"\bcubed\b|\u00b3", "**3"),
    (r"\bto the power of\b|\^", "**"),
    (r"(?<=\d),(?=\d{3}\b)", ""),
)
_PLAIN = re.compile(r"[\d\s.+*/()-]{3,120}")
_OPERATORS: dict[type[ast.AST], Callable[..., Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_IS = re.compile(
    r"is\s+(?:the number\s+)?(\d{1,10})\s+(?:an?\s+)?"
    r"(?:(prime|even|odd|square)(?:\s+number)?|divisible by\s+(\d{1,10}))",
    re.IGNORECASE,
)


def sum_in(question: str) -> str | None:
    """The sum that a question is, in signs ("17 * 23"); None when it is anything else."""
    said = _LEAD.sub("", " ".join(question.split())).strip(" ?!.=")
    for pattern, sign in _WORDS:
        said = re.sub(pattern, sign, said, flags=re.IGNORECASE)
    is_sum = _PLAIN.fullmatch(said) and re.search(r"\d[\s)]*[-+*/]", said)
    return said.strip() if is_sum else None


def worth(written: str) -> str | None:
    """What a sum comes to, as a number in digits, rounded to four places; None when that cannot be told."""
    try:
        value = _value(ast.parse(written.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
        return None
    rounded = round(value, 4)
    if rounded.denominator == 1:
        return str(rounded.numerator)
    return f"{float(rounded):.4f}".rstrip("0")


def _value(node: ast.expr) -> Fraction:
    """Raises ValueError or ArithmeticError where there is none."""
    match node:
        case ast.Constant(value=int() | float() as number):
            found = Fraction(str(number))
        case ast.UnaryOp(op=op, operand=inner):
            found = _OPERATORS[type(op)](_value(inner))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            found = _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            found = _OPERATORS[type(op)](_value(left), _value(right))
        case _:
            raise ValueError("no plain sum")
    if abs(found) > _LARGEST:
        raise ValueError("too large")
    return found


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1 or abs(exponent) > 60 or abs(base) > 10**6:
        raise ValueError("too large")
    return Fraction(base) ** int(exponent)


def is_so(question: str) -> tuple[bool, str] | None:
    """Whether a number is prime, even, odd, square or divisible, and why, where that is the question; else None."""
    asked = _IS.fullmatch(" ".join(question.split()).strip(" ?!."))
    if not asked:
        return None
    number, kind, root = int(asked[1]), (asked[2] or "").lower(), math.isqrt(int(asked[1]))
    if kind == "prime":
        return _is_prime(number, root)
    if kind == "square":
        return root**2 == number, f"{root} \u00d7 {root} = {root**2}."
    by = int(asked[3] or 2)
    if by == 0:
        return False, "Nothing can be divided by 0."
    rest = number % by
    return rest == (kind == "odd"), f"{number} divided by {by} leaves {rest}."


def _is_prime(number: int, root: int) -> tuple[bool, str]:
    divisor = next((d for d in range(2, root + 1) if number % d == 0), None)
    if divisor:
        return False, f"{number} = {divisor} \u00d7 {number // divisor}."
    return number > 1, f"Nothing but 1 and itself divides {number}." if number > 1 else "Primes begin with 2."
