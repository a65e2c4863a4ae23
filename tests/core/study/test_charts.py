import io
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.study import captions, charts
from core.study.analysis import central_index, mean_similarity
from core.study.canvas import MARGIN, SCALE, WIDTH, printable, text_width, wrap
from core.study.captions import RoundPoint
from core.study.emotions import EMOTIONS
from core.study.palette import MEASURES, SEATS, blend, rgb, seat_colour, text_on
from core.types import TITLES, Analysis, Chart, Member, MemberMood, Sentiment

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
            sentiment=Sentiment(
                polarity=round(chance.uniform(-1, 1), 4),
                subjectivity=round(chance.random(), 4),
                vader=round(chance.uniform(-1, 1), 4),
            ),
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


def at(number: int, similarity: float | None, agreement: float | None, confidence: float | None) -> RoundPoint:
    return RoundPoint(number=number, similarity=similarity, agreement=agreement, confidence=confidence)


ROUNDS = (at(1, 0.5, 0.4, None), at(2, 0.55, None, 0.7), at(3, 0.8, 0.8, 0.82))


def every(result: Analysis, panel: Sequence[Member] = (), points: Sequence[RoundPoint] = ROUNDS) -> tuple[Chart, ...]:
    """All charts there are of an analysis."""
    return (*charts.draw(result, panel), *charts.draw_more(result, panel, points))


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


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 12])
@pytest.mark.parametrize("name", ["m", "qwen", LONG], ids=["short", "plain", "long"])
@pytest.mark.parametrize("simulated", [False, True])
def test_pictures_of_one_to_twelve_members_are_whole(count: int, name: str, simulated: bool) -> None:
    result = analysis([name if n == 0 else f"{name} {n + 1}" for n in range(count)], simulated=simulated)
    drawn = every(result) if count > 1 else (charts.emotion_chart(result), *every(result))
    assert [chart.kind for chart in drawn] == list(TITLES)[0 if count > 1 else 1 :]
    for chart in drawn:
        assert_whole(chart)
        assert 0 < len(chart.alt) <= captions.ALT_LIMIT


@pytest.mark.parametrize(
    "name", ["通义千问", "🚀", "a\nb\t\u200dc", "$x^2$", "<b>", "x" * 200, " ", "é\u0301", "\u202eabc", "م"]
)
def test_any_name_can_be_drawn(name: str) -> None:
    for chart in every(analysis([name, "qwen", f"{name} 2"])):
        assert_whole(chart)
        assert chart.kind == "drift" or " ".join(name.split())[:50] in chart.alt


def test_a_single_answer_has_no_charts() -> None:
    single = analysis(["qwen"])
    assert charts.draw(single) == ()
    with pytest.raises(ValueError, match="two answers"):
        charts.heatmap(single)


def test_no_feeling_at_all_is_drawn_as_a_sentence() -> None:
    sober = analysis(["llama", "qwen"], feeling=False)
    for chart in (charts.emotion_chart(sober), charts.radar(sober)):
        assert_whole(chart)
        assert chart.alt.count("none found") == 2
    assert charts.radar(sober).height < 2 * 200


def test_a_member_has_its_colour_on_both_charts() -> None:
    for chart in every(analysis(["a", "b", "c"]), points=()):
        assert [has(chart, colour) for colour in SEATS[:4]] == [True, True, True, False]


def test_a_member_keeps_its_colour_when_another_fails() -> None:
    panel = [Member(id=name, model="m") for name in ("a", "b", "c", "d")]
    for chart in every(analysis(["b", "d"]), panel, ()):
        assert [has(chart, colour) for colour in SEATS[:4]] == [False, True, False, True]


def test_the_same_analysis_gives_the_same_bytes() -> None:
    result = analysis(["a", "b", "c"])
    first = every(result)
    every(analysis(["x", "y"], seed=2))
    assert every(result) == first
    others = every(analysis(["a", "b", "c"], seed=3), points=ROUNDS[:2])
    assert all(one != other for one, other in zip(first, others, strict=True))


def test_simulated_members_are_marked() -> None:
    real, simulated = (every(analysis(["a", "b"], simulated=s)) for s in (False, True))
    for plain, marked in zip(real, simulated, strict=True):
        assert "simulated" not in plain.alt
        assert "All members are simulated." in marked.alt
        assert marked.height > plain.height
    mixed = analysis(["a", "b"]).model_copy(
        update={"members": (Member(id="a", model="m", simulated=True), Member(id="b", model="m"))}
    )
    for plain, marked in zip(real, every(mixed), strict=True):
        assert ("Some members are simulated." if marked.kind == "drift" else "a (simulated)") in marked.alt
        assert marked.png != plain.png


def test_the_alternative_text_carries_all_numbers_while_they_fit() -> None:
    result = analysis(["llama", "qwen", "mistral"])
    heatmap, emotions, polarity, radar, _ = every(result)
    assert result.similarity
    for a, b in ((0, 1), (0, 2), (1, 2)):
        pair = f"{result.members[a].id} and {result.members[b].id} {result.similarity[a][b]:.2f}"
        assert pair in heatmap.alt
    assert f"Mean {result.mean_similarity:.2f}." in heatmap.alt
    assert "not agreement" in heatmap.alt
    for mood in result.moods:
        for emotion, score in mood.emotions.items():
            for chart in (emotions, radar):
                assert not score or f"{emotion} {score:.2f}" in chart.alt
        tone = mood.sentiment
        assert (
            f"{mood.member.id}: polarity {tone.polarity:+.2f}, subjectivity {tone.subjectivity:.2f}, "
            f"VADER {tone.vader:+.2f}." in polarity.alt
        )


def test_a_long_alternative_text_is_summed_up() -> None:
    heatmap, emotions, polarity, radar, drift = every(
        analysis([f"{LONG} {n}" for n in range(12)]), points=[at(n, None, 0.5, None) for n in range(40)]
    )
    assert "Most alike" in heatmap.alt
    assert "Least alike" in heatmap.alt
    for chart in (emotions, radar):
        assert "strongest of each." in chart.alt
        assert all(f"{LONG} {n}:" in chart.alt for n in range(12))
    assert all(f"{LONG} {n} " in polarity.alt for n in range(12))
    assert "Round 0:" in drift.alt
    assert "Round 39:" in drift.alt
    assert_whole(drift)
    endless = every(analysis(["x" * 3000, "y" * 3000]))
    assert all(len(chart.alt) <= captions.ALT_LIMIT for chart in endless)


def test_what_was_not_looked_at_is_not_drawn() -> None:
    bare = analysis(["a", "b"]).model_copy(update={"moods": ()})
    assert charts.draw_more(bare, (), ()) == ()
    assert [chart.kind for chart in charts.draw_more(bare, (), ROUNDS)] == ["drift"]
    assert [chart.kind for chart in charts.draw_more(analysis(["a"]), (), ())] == ["polarity", "radar"]
    with pytest.raises(ValueError, match="no round"):
        charts.drift(())


def test_an_answer_without_feeling_is_named_and_has_no_shape() -> None:
    result = analysis(["llama", "qwen", "phi"])
    flat = result.moods[1].model_copy(update={"emotions": dict.fromkeys(EMOTIONS, 0.0)})
    result = result.model_copy(update={"moods": (result.moods[0], flat, result.moods[2])})
    chart = charts.radar(result)
    assert_whole(chart)
    assert [has(chart, colour) for colour in SEATS[:3]] == [True, False, True]
    assert "qwen: none found." in chart.alt
    assert "no shape: qwen." in captions.profile_sentence(result, ["llama", "qwen", "phi"])


def test_shapes_that_are_the_same_keep_their_numbers_apart() -> None:
    result = analysis([f"m{n}" for n in range(12)])
    same = tuple(mood.model_copy(update={"emotions": result.moods[0].emotions}) for mood in result.moods)
    chart = charts.radar(result.model_copy(update={"moods": same}))
    assert_whole(chart)
    web = pixels(chart)[-300 * SCALE :]
    assert all((web == rgb(colour)).all(axis=2).sum() > 300 for colour in SEATS)


@pytest.mark.parametrize("extreme", [-1.0, 0.0, 0.001, 1.0])
def test_extreme_tones_stay_on_the_page(extreme: float) -> None:
    result = analysis(["a", "b"])
    tone = Sentiment(polarity=extreme, subjectivity=abs(extreme), vader=-extreme)
    moods = tuple(mood.model_copy(update={"sentiment": tone}) for mood in result.moods)
    chart = charts.polarity_chart(result.model_copy(update={"moods": moods}))
    assert_whole(chart)
    assert "-0.00" not in chart.alt
    assert "+0.00" not in chart.alt


def test_the_drift_tells_every_round_and_what_is_unknown() -> None:
    chart = charts.drift(ROUNDS)
    assert_whole(chart)
    assert "Round 1: likeness 0.50, agreement 0.40, confidence unknown." in chart.alt
    assert "Round 2: likeness 0.55, agreement unknown, confidence 0.70." in chart.alt
    assert captions.drift_sentence(ROUNDS).splitlines() == [
        "Likeness from 0.50 to 0.80.",
        "Agreement from 0.40 to 0.80.",
        "Confidence from 0.70 to 0.82.",
    ]


def test_a_gap_in_the_drift_is_no_line_and_no_zero() -> None:
    red, known = MEASURES["agreement"][1], (at(1, None, 0.5, None), at(3, None, 0.5, None))
    whole, broken, zero = (
        int((pixels(charts.drift((known[0], at(2, None, value, None), known[1]))) == rgb(red)).all(axis=2).sum())
        for value in (0.5, None, 0.0)
    )
    assert broken < whole - 500
    assert broken < zero - 500


def test_a_single_round_and_unknown_figures_are_said_to_be_so() -> None:
    assert "only one round" in captions.drift_sentence(ROUNDS[:1])
    assert charts.drift(ROUNDS[:1]).alt.startswith("Points of the only round")
    unknown = [at(n, None, None, None) for n in (1, 2)]
    assert captions.drift_sentence(unknown) == "None of the figures is known."
    assert charts.drift(unknown).height < charts.drift(ROUNDS).height
    assert "more than one round" in captions.drift_sentence([at(1, 0.5, None, None), unknown[1]])
    assert captions.drift_sentence([at(1, 0.5, None, None)] * 2) == "Likeness at 0.50 first and last."


def test_equal_figures_of_a_round_leave_each_other_visible() -> None:
    chart = charts.drift([at(n, 0.5, 0.5, 0.5) for n in (1, 2, 3)])
    course = pixels(chart)[: -100 * SCALE]
    for _, colour in MEASURES.values():
        assert (course == rgb(colour)).all(axis=2).sum() > 50


@pytest.mark.parametrize("count", range(1, 25))
def test_any_number_of_rounds_fits(count: int) -> None:
    assert_whole(charts.drift([at(n + 1, 1.0, n / 24, 0.0) for n in range(count)]))


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
