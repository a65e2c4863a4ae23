from __future__ import annotations

import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.present.maths import LONGEST, MOST_WORK, in_unicode, readable


@pytest.mark.parametrize(
    ("tex", "said"),
    [
        ("x^2 + y_1", "x² + y₁"),
        ("x^{n+1}", "xⁿ⁺¹"),
        ("E = mc^2", "E = mc²"),
        (r"\frac{a+b}{c}", "(a+b)/c"),
        (r"2\frac{1}{2}x", "2(1/2)x"),
        (r"\frac{\frac{a}{b}}{c^2}", "(a/b)/c²"),
        (r"\frac{a}{b}\frac{c}{d}", "(a/b)(c/d)"),
        (r"\sqrt{x+1}", "√(x+1)"),
        (r"\sqrt[3]{8}", "³√(8)"),
        (r"\sum_{i=1}^n i", "∑ᵢ₌₁ⁿ i"),
        (r"a \le b \implies c", "a ≤ b ⟹ c"),
        (r"\left( \frac{x}{y} \right)^2", "( x/y )²"),
        (r"O(n \log n)", "O(n log n)"),
        (r"\text{if } x>0", "if x > 0"),
        (r"e^{-x^2/2}", "e^(-x²/2)"),
        (r"x_{\text{cold}}", "x_(cold)"),
        (r"90^\circ", "90°"),
        ("f'(x)", "f\u2032(x)"),
        (r"50\% + 3%", "50% + 3%"),
        (r"\binom{n}{k}", "(n choose k)"),
        (r"a*b|c|", "a\u2217b\u2223c\u2223"),
        (r"\begin{aligned} a&=b\\ c&=d\end{aligned}", "a = b\nc = d"),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "[ 1 2; 3 4 ]"),
        (r"\mathbb{R}^n", "ℝⁿ"),
    ],
)
def test_a_formula_in_unicode(tex: str, said: str) -> None:
    assert in_unicode(tex) == said


@pytest.mark.parametrize(
    "tex",
    [r"\foo x", "{", r"\frac{a", r"x^\frac12", r"\begin{tikzpicture}a\end{tikzpicture}", "{" * 900, r"x^\mathrm{T}"],
)
def test_what_is_not_understood_stays_latex(tex: str) -> None:
    assert in_unicode(tex) is None
    assert readable(f"So ${tex}$, they say.") == f"So ${tex}$, they say."


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"It is $x^2$, and \(\alpha\) too.", "It is x², and \u03b1 too."),
        ("Amid $$x^2$$ a line.", "Amid x² a line."),
        ("| $|x|$ | $$y^2$$ |", "| \u2223x\u2223 | y² |"),
        ("So:\n\n$$\nx^2\n$$\n\nDone.", "So:\n\nx²\n\nDone."),
        ("So:\n$$x^2$$\nDone.", "So:\n\nx²\n\nDone."),
        (r"\[ a = b \]", "a = b"),
        ("\\[\n\\begin{aligned}a&=b\\\\c&=d\\end{aligned}\n\\]", "```\na = b\nc = d\n```"),
        ("- So:\n  $$\n  x \\\\ y\n  $$\n- b", "- So:\n  \n  ```\n  x\n  y\n  ```\n\n- b"),
        ("$$- x$$", "```\n- x\n```"),
    ],
)
def test_formulae_where_they_stand(text: str, shown: str) -> None:
    assert readable(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 and $6.",
        "US$5/$6 or $7",
        "between $100 and 200$ dollars",
        "$HOME/bin:$PATH and $USER",
        r"cost \$5 and \$6",
        "`$x^2$` and ``a ` $y^2$``",
        "```\n$x^2$\n```",
        "~~~\n$$x^2$$\n~~~",
        "````\n```\n$x^2$\n````",
        "```\n$x^2$ is never closed",
        r"brackets \(as written here\) that were escaped",
        "$ x$ and $x $",
        "$$" + "x^2 " * LONGEST + "$$",
        "no formula at all",
    ],
)
def test_what_is_no_formula_stays(text: str) -> None:
    assert readable(text) == text


def test_a_formula_beside_money_is_found() -> None:
    assert readable("It is $5, or $x^2$ of it; `$` and $y$") == "It is $5, or x² of it; `$` and y"


MARKS = st.sampled_from(
    [
        "$",
        "$$",
        "\\(",
        "\\)",
        "\\[",
        "\\]",
        "`",
        "```",
        "\n",
        "\\",
        "{",
        "}",
        "^",
        "_",
        "\\frac",
        "\\left",
        "x",
        "1",
        " ",
        "%",
    ]
)


@given(st.lists(MARKS, max_size=60).map("".join) | st.text(max_size=100))
def test_nothing_breaks_the_reading(text: str) -> None:
    shown = readable(text)
    if "$" not in text and "\\(" not in text and "\\[" not in text:
        assert shown == text


@given(st.lists(MARKS, max_size=40).map("".join))
def test_code_is_never_touched(text: str) -> None:
    code = "```\n" + text.replace("`", "") + "\n```"
    assert readable(f"$x^2$\n\n{code}\n\n$y$") == f"x²\n\n{code}\n\ny"


@pytest.mark.parametrize(
    "piece",
    [
        *("$", "$$ ", "\\(", "\\[ x ", "`", "`a``b", "```\n", "\\", "$x", "\\(a\\)", r"$\frac{a}{b}$ "),
        "$" + "{" * 400 + "}" * 400 + "$ ",
        "$$" + "^{" * 300 + "}" * 300 + "$$\n",
    ],
    ids=lambda piece: piece[:12].strip(),
)
def test_a_hundred_kilobytes_take_no_time(piece: str) -> None:
    readable("$x^2$")  # loads the reader of LaTeX
    text = piece * (100_000 // len(piece))
    begun = time.process_time()
    readable(text)
    assert time.process_time() - begun < 0.2


def test_many_different_formulae_are_read_up_to_a_bound() -> None:
    readable("$x^2$")
    text = " ".join(f"$a_{{{n}}}^2 + \\frac{{{n}}}{{b}}$" for n in range(5000))
    begun = time.process_time()
    shown = readable(text)
    assert time.process_time() - begun < 0.2
    assert shown.startswith("a₀²")
    assert shown[-20:] == text[-20:]
    assert len(text) > 100_000 > MOST_WORK


def test_latex_is_loaded_for_formulae_alone() -> None:
    script = (
        "import sys; from core.present.maths import readable; readable('$5 and `$x$`'); "
        "assert 'pylatexenc' not in sys.modules; readable('$x^2$'); assert 'pylatexenc' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
