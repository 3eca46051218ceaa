"""Heat maps: every value readable as a number, the stronger the colour the further, and words never taken for HTML."""

import re

from tbot_bot.backtest.heat_map import Shade, heat_map


def strength(colour):
    return int(re.findall(r"(\d+)%", colour)[0])


def shown(values, best=None):
    rows, columns = tuple(map(str, range(len(values)))), tuple(map(str, range(len(values[0]))))
    return heat_map(("DOWN", rows), ("ACROSS", columns), values, "{:.2f}".format, about="a map", best=best)


def test_gains_and_losses_have_colours_of_their_own_from_zero_on():
    shade = Shade([-2.0, -1.0, 0.0, 1.0, 4.0])
    assert "--down" in shade.of(-1.0)
    assert "--up" in shade.of(1.0)
    assert strength(shade.of(4.0)) == strength(shade.of(-2.0)) > strength(shade.of(1.0))
    assert shade.of(0.0) == "transparent"


def test_values_on_one_side_of_zero_are_told_apart_from_the_nearest_one_on():
    shade = Shade([10.0, 10.1, 10.2])
    assert strength(shade.of(10.0)) < strength(shade.of(10.1)) < strength(shade.of(10.2))


def test_each_value_stands_there_with_its_settings_and_what_is_not_defined_says_so():
    page = shown([[1.0, None], [-0.5, 2.0]], best=(1, 1))
    assert re.findall(r"<td[^>]*>([^<]*)</td>", page) == ["1.00", "none", "-0.50", "2.00"]
    assert 'title="DOWN=1, ACROSS=0: -0.50"' in page
    assert re.findall(r'<td class="best"[^>]*>([^<]*)<', page) == ["2.00"]
    assert re.findall(r'best"[^>]*>([^<]*)<', shown([[1.0, None], [-0.5, 2.0]], best=(0, 1))) == ["none"]


def test_equal_values_and_no_values_make_a_map_too():
    assert shown([[1.0, 1.0]]).count("1.00</td>") == 2
    assert shown([[None, None]]).count(">none<") == 2


def test_words_are_never_taken_for_markup():
    page = heat_map(("A<b>", ("<i>",)), ('B"', ("&",)), [[1.0]], str, about='"quoted"')
    assert "<b>" not in page
    assert "<i>" not in page
    assert 'aria-label="&quot;quoted&quot;"' in page
