"""What strangers call themselves can be seen, and does not turn around the line that it stands on."""

import pytest

from petpro_common.texts import is_seen, turns

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", ["Klinik Satwa", "診療所", "7", "?", "🐶", "عيادة", "e\u0301", "\u200bSatwa"])
def test_names_of_all_scripts_are_seen(name: str) -> None:
    assert is_seen(name)


@pytest.mark.parametrize("name", ["", " ", "\u200b", "\u202e\ufeff", "\u0301", "\u3164", "\u2800", "\u115f", "\ue000"])
def test_what_has_no_shape_is_not_seen(name: str) -> None:
    assert not is_seen(name)


@pytest.mark.parametrize(
    "character", ["\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069"]
)
def test_what_orders_other_characters_turns_the_line(character: str) -> None:
    assert turns(f"Klinik {character}Satwa")


@pytest.mark.parametrize(
    "name",
    [
        "Klinik Satwa",
        "مستشفى الحيوانات",
        "מרפאה\u200e",
        "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "👩\u200d⚕️",
    ],
)
def test_what_writing_needs_does_not(name: str) -> None:
    assert not turns(name)
