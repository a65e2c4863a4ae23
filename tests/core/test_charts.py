import io
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core import charts
from core.analysis import central_index, mean_similarity
from core.canvas import MARGIN, SCALE, WIDTH, printable, text_width, wrap
from core.emotions import EMOTIONS
from core.palette import SEATS, blend, rgb, seat_colour, text_on
from core.types import Analysis, Chart, Member, MemberMood, Sentiment

LONG = "meta-llama/llama-3.1-405b-instruct-turbo"


def analysis(names: Sequence[str], *, simulated: bool = False, seed: int = 1, feeling: bool = True) -> Analysis:
    chance = random.Random(seed)
    members = tuple(Member(id=name, model="m", simulated=simulated) for name in names)
    matrix = [[1.0] * len(names) for _ in names]
    for a in range(len(names)):
        for b in range(a):
            matrix[a][b] = matrix[b][a] = round(chance.random(), 4)
    moods = (
        MemberMood(
            member=member,
            sentiment=Sentiment(polarity=0, subjectivity=0, vader=0),
            emotions={e: round(chance.random(), 3) if feeling and chance.random() < 0.7 else 0.0 for e in EMOTIONS},
        )
        for member in members
    )
    several = len(names) > 1
    return Analysis(
        members=members,
        similarity=tuple(map(tuple, matrix)) if several else None,
        mean_similarity=mean_similarity(matrix) if several else None,
        central=central_index(matrix),
        embedder="none",
        moods=tuple(moods),
    )


def pixels(chart: Chart) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    with Image.open(io.BytesIO(chart.png)) as image:
        assert image.format == "PNG"
        assert "transparency" not in image.info
        assert image.mode == "P"
        assert image.size == (chart.width, chart.height) == (WIDTH * SCALE, chart.height)
        return np.asarray(image.convert("RGB"))


def has(chart: Chart, colour: str) -> bool:
    return bool((pixels(chart) == rgb(colour)).all(axis=2).sum() > 50)


def assert_whole(chart: Chart) -> None:
    """Nothing is drawn into the margins, so nothing is cut at the picture's edge."""
    picture, edge = pixels(chart), (MARGIN - 3) * SCALE
    for strip in (picture[:, :edge], picture[:, -edge:], picture[: 8 * SCALE], picture[-8 * SCALE :]):
        assert (strip == 255).all()


@pytest.mark.parametrize("count", range(1, 13))
@pytest.mark.parametrize("name", ["m", "qwen", LONG], ids=["short", "plain", "long"])
@pytest.mark.parametrize("simulated", [False, True])
def test_pictures_of_one_to_twelve_members_are_whole(count: int, name: str, simulated: bool) -> None:
    result = analysis([name if n == 0 else f"{name} {n + 1}" for n in range(count)], simulated=simulated)
    drawn = charts.draw(result) if count > 1 else (charts.emotion_chart(result),)
    assert [chart.kind for chart in drawn] == (["heatmap", "emotions"] if count > 1 else ["emotions"])
    for chart in drawn:
        assert_whole(chart)
        assert 0 < len(chart.alt) <= charts.ALT_LIMIT


@pytest.mark.parametrize(
    "name", ["通义千问", "🚀", "a\nb\t\u200dc", "$x^2$", "<b>", "x" * 200, " ", "é\u0301", "\u202eabc", "م"]
)
def test_any_name_can_be_drawn(name: str) -> None:
    for chart in charts.draw(analysis([name, "qwen", f"{name} 2"])):
        assert_whole(chart)
        assert " ".join(name.split())[:50] in chart.alt


def test_a_single_answer_has_no_charts() -> None:
    single = analysis(["qwen"])
    assert charts.draw(single) == ()
    with pytest.raises(ValueError, match="two answers"):
        charts.heatmap(single)


def test_no_feeling_at_all_is_drawn_as_a_sentence() -> None:
    chart = charts.emotion_chart(analysis(["llama", "qwen"], feeling=False))
    assert_whole(chart)
    assert chart.alt.count("none found") == 2


def test_a_member_has_its_colour_on_both_charts() -> None:
    for chart in charts.draw(analysis(["a", "b", "c"])):
        assert [has(chart, colour) for colour in SEATS[:4]] == [True, True, True, False]


def test_a_member_keeps_its_colour_when_another_fails() -> None:
    panel = [Member(id=name, model="m") for name in ("a", "b", "c", "d")]
    for chart in charts.draw(analysis(["b", "d"]), panel):
        assert [has(chart, colour) for colour in SEATS[:4]] == [False, True, False, True]


def test_the_same_analysis_gives_the_same_bytes() -> None:
    result = analysis(["a", "b", "c"])
    first = charts.draw(result)
    charts.draw(analysis(["x", "y"], seed=2))
    assert charts.draw(result) == first
    assert charts.draw(analysis(["a", "b", "c"], seed=3)) != first


def test_simulated_members_are_marked() -> None:
    real, simulated = (charts.draw(analysis(["a", "b"], simulated=s)) for s in (False, True))
    for plain, marked in zip(real, simulated, strict=True):
        assert "simulated" not in plain.alt
        assert "All members are simulated." in marked.alt
        assert marked.height > plain.height
    mixed = analysis(["a", "b"]).model_copy(
        update={"members": (Member(id="a", model="m", simulated=True), Member(id="b", model="m"))}
    )
    for plain, marked in zip(real, charts.draw(mixed), strict=True):
        assert "a (simulated)" in marked.alt
        assert marked.png != plain.png


def test_the_alternative_text_carries_all_numbers_while_they_fit() -> None:
    result = analysis(["llama", "qwen", "mistral"])
    heatmap, emotions = charts.draw(result)
    assert result.similarity
    for a, b in ((0, 1), (0, 2), (1, 2)):
        pair = f"{result.members[a].id} and {result.members[b].id} {result.similarity[a][b]:.2f}"
        assert pair in heatmap.alt
    assert f"Mean {result.mean_similarity:.2f}." in heatmap.alt
    assert "not agreement" in heatmap.alt
    for mood in result.moods:
        for emotion, score in mood.emotions.items():
            assert not score or f"{emotion} {score:.2f}" in emotions.alt


def test_a_long_alternative_text_is_summed_up() -> None:
    heatmap, emotions = charts.draw(analysis([f"{LONG} {n}" for n in range(12)]))
    assert "Most alike" in heatmap.alt
    assert "Least alike" in heatmap.alt
    assert "strongest of each." in emotions.alt
    assert all(f"{LONG} {n}:" in emotions.alt for n in range(12))
    endless = charts.draw(analysis(["x" * 3000, "y" * 3000]))
    assert all(len(chart.alt) <= charts.ALT_LIMIT for chart in endless)


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb(colour)]
        return float(np.dot(parts, (0.2126, 0.7152, 0.0722)))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_numbers_stand_out_from_any_cell_and_seat() -> None:
    greys = [blend("#000000", "#FFFFFF", n / 50) for n in range(51)]
    blues = [blend("#F3F7FB", "#08306B", n / 50) for n in range(51)]
    for colour in (*SEATS, *greys, *blues):
        assert contrast(text_on(colour), colour) >= 4


def test_twelve_seats_have_twelve_colours() -> None:
    assert len({seat_colour(seat) for seat in range(12)}) == 12
    assert seat_colour(12) == seat_colour(0)


@given(st.text(max_size=80), st.integers(40, 300))
@settings(deadline=None)
def test_wrapping_loses_nothing_and_keeps_the_width(text: str, width: int) -> None:
    shown = printable(text)
    lines = wrap(shown, width, 12.5)
    assert "".join(lines).replace(" ", "") == shown.replace(" ", "")
    assert all(text_width(line, 12.5) <= width for line in lines)
