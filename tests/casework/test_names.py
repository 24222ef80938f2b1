"""Names: Khmer in one encoding, search keys, ranking of public names, finding a name in a text; scripts, phones."""

from __future__ import annotations

import pytest

from gateway.casework.names import (
    fold,
    fold_khmer,
    heads_in,
    keys_in,
    keys_of,
    mention_head,
    mention_key,
    mentions,
    rank,
    search_key,
)
from gateway.casework.persons import is_phone, name_faults, script_fault, text_fault

# Provinces, towns and sights of Cambodia with the spelling maps use.
PUBLIC = (
    ("ភ្នំពេញ", "Phnom Penh"),
    ("សៀមរាប", "Siem Reap"),
    ("បាត់ដំបង", "Battambang"),
    ("កំពត", "Kampot"),
    ("កែប", "Kep"),
    ("ព្រះសីហនុ", "Preah Sihanouk"),
    ("កំពង់ចាម", "Kampong Cham"),
    ("កំពង់ធំ", "Kampong Thom"),
    ("កំពង់ស្ពឺ", "Kampong Speu"),
    ("កំពង់ឆ្នាំង", "Kampong Chhnang"),
    ("តាកែវ", "Takeo"),
    ("ស្វាយរៀង", "Svay Rieng"),
    ("ព្រៃវែង", "Prey Veng"),
    ("ស្ទឹងត្រែង", "Stung Treng"),
    ("រតនគិរី", "Ratanakiri"),
    ("មណ្ឌលគិរី", "Mondulkiri"),
    ("ព្រះវិហារ", "Preah Vihear"),
    ("បន្ទាយមានជ័យ", "Banteay Meanchey"),
    ("ឧត្តរមានជ័យ", "Oddar Meanchey"),
    ("ប៉ៃលិន", "Pailin"),
    ("កោះកុង", "Koh Kong"),
    ("ត្បូងឃ្មុំ", "Tboung Khmum"),
    ("ពោធិ៍សាត់", "Pursat"),
    ("ប៉ោយប៉ែត", "Poipet"),
    ("បាវិត", "Bavet"),
    ("ក្រចេះ", "Kratie"),
    ("កណ្ដាល", "Kandal"),
    ("អង្គរវត្ត", "Angkor Wat"),
)

# Singers, an architect, heads of State and common given names with their usual spelling.
PERSONS = (
    ("នរោត្តម សីហនុ", "Norodom Sihanouk"),
    ("ស៊ិន ស៊ីសាមុត", "Sinn Sisamouth"),
    ("រស់ សេរីសុទ្ធា", "Ros Sereysothea"),
    ("ប៉ែន រ៉ន", "Pen Ran"),
    ("វណ្ណ មូលីវណ្ណ", "Vann Molyvann"),
    ("ហ៊ុន សែន", "Hun Sen"),
    ("សុខា", "Sokha"),
    ("សុភា", "Sophea"),
    ("ដារ៉ា", "Dara"),
    ("រតនា", "Ratana"),
    ("វិបុល", "Vibol"),
    ("ពិសិដ្ឋ", "Piseth"),
    ("បុប្ផា", "Bopha"),
    ("សំណាង", "Samnang"),
    ("ចាន់ធី", "Chanthy"),
    ("កល្យាណ", "Kalyan"),
    ("មករា", "Makara"),
    ("សុវណ្ណ", "Sovann"),
    ("ម៉ាលី", "Maly"),
    ("ធារី", "Theary"),
    ("វិចិត្រ", "Vichet"),
    ("រស្មី", "Rasmey"),
    ("ភារម្យ", "Phearum"),
    ("លីដា", "Lida"),
    ("សុជាតា", "Socheata"),
    ("ណារិន", "Narin"),
    ("បញ្ញា", "Panha"),
    ("វាសនា", "Veasna"),
    ("កុសល", "Kosal"),
)


@pytest.mark.parametrize(("khmer", "latin"), PUBLIC)
def test_a_khmer_name_finds_its_usual_spelling(khmer: str, latin: str) -> None:
    """First or second of all."""
    found = [ranked.name for ranked in rank(khmer, [spelt for _, spelt in PUBLIC], limit=2)]
    assert latin in found


@pytest.mark.parametrize(("khmer", "latin"), PERSONS)
def test_a_persons_name_finds_its_usual_spelling(khmer: str, latin: str) -> None:
    """First or second among persons and places."""
    found = [ranked.name for ranked in rank(khmer, [spelt for _, spelt in PUBLIC + PERSONS], limit=2)]
    assert latin in found


def test_a_name_keeps_its_block_in_every_script() -> None:
    """Search compares within a block: a name whose first consonant changed with the script would not be found."""
    for khmer, latin in PUBLIC + PERSONS:
        assert keys_of(khmer)[0].block == keys_of(latin)[0].block, latin


def test_a_usual_spelling_finds_the_khmer_name() -> None:
    """The other way, for at least 25 of the 28."""
    khmer = [written for written, _ in PUBLIC]
    hits = sum(written in [r.name for r in rank(latin, khmer, limit=2)] for written, latin in PUBLIC)
    assert hits >= 25


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ស្ត្រី", "ស\u17d2\u179a\u17d2\u178fី"),  # the order of subscripts, which NFC leaves alone
        ("សុខ", "សុ\u200bខ"),  # zero-width space
        ("កើត", "ក\u17c1\u17b8ត"),  # split vowel
        ("កោះ", "ក\u17c1\u17b6ះ"),
        ("កណ្ដាល", "កណ្តាល"),  # subscript DA and TA look alike
        ("ប៉ែត", "បែ\u17c9ត"),  # shifter after the vowel
    ],
)
def test_one_look_is_one_key(one: str, other: str) -> None:
    """Different encodings of what a reader sees as the same."""
    assert one != other
    assert fold_khmer(one) == fold_khmer(other)
    assert search_key(one) == search_key(other)


def test_different_names_stay_different() -> None:
    """Folding is not so broad that names meet."""
    folded = {fold_khmer(khmer) for khmer, _ in PUBLIC}
    assert len(folded) == len(PUBLIC)
    assert fold("Sok") != fold("Sokh")


def test_the_keys_of_a_name() -> None:
    """The whole and each word, as written, Latin and by sound; accents and case aside."""
    whole, first, second = keys_of("Nguyễn  Thị")
    assert (whole.folded, whole.latin, whole.block) == ("nguyen thi", "nguyen thi", "n")
    assert (first.folded, second.folded) == ("nguyen", "thi")
    khmer = keys_of("សុខ ឧទាហរណ៍")[0]
    assert khmer.latin.isascii()
    assert khmer.sound.isascii()
    assert len(keys_of("Sumarni")) == 1
    assert keys_of("") == keys_of(" - ") == ()


@pytest.mark.parametrize(
    ("text", "names", "found"),
    [
        ("She said SUMARNI left.", ("Sumarni",), True),
        ("Sumarnila left.", ("Sumarni",), False),
        ("sok, uteahar was here", ("SOK UTEAHAR",), True),
        ("Sok was here", ("SOK UTEAHAR",), False),
        ("the sea is calm", ("Sea",), False),  # too short to be told from a word
        ("អ្នកស្រីសុ\u200bខឧទាហរណ៍បានមក", ("សុខ ឧទាហរណ៍",), True),
        ("他叫李测试。", ("李测试",), True),
        ("nobody", (), False),
    ],
)
def test_a_known_name_in_a_text(text: str, names: tuple[str, ...], found: bool) -> None:
    """Whole words in Latin, as it stands in Khmer and Chinese."""
    assert mentions(text, names) is found


@pytest.mark.parametrize(
    ("script", "value"),
    [
        ("Latn", "Siti Nur-Aisyah O'Neil, Jr."),
        ("Latn", "Nguyễn Thị Đào"),
        ("Khmr", "សុខ ឧទាហរណ៍"),
        ("Khmr", "សុ\u200bខ"),
        ("Hans", "李测试"),
        ("Thai", "ตัวอย่าง"),
        ("Arab", "مثال"),
        ("Zyyy", "\u0418\u0432\u0430\u043d"),
    ],
)
def test_names_in_their_scripts(script: str, value: str) -> None:
    """§3.2: what each script may hold, U+200B in Khmer included."""
    assert script_fault(value, script) is None


@pytest.mark.parametrize(
    ("script", "value"),
    [
        ("Latn", "S\u043ek"),
        ("Latn", "Sok2"),
        ("Khmr", "សុខ A"),
        ("Khmr", "៥"),
        ("Khmr", "ស\u17a3"),
        ("Hans", "李A"),
        ("Thai", "ตัวA"),
        ("Arab", "مثA"),
        ("Zyyy", "\u0418\u0432\u0430n"),
        ("Zyyy", "a\u2066b"),
    ],
)
def test_names_in_another_script(script: str, value: str) -> None:
    """Look-alikes, digits, deprecated letters, isolates."""
    assert script_fault(value, script) is not None


def test_a_mononym_has_one_part() -> None:
    """§3.2: no dash, dot or repetition for a second name; a real second name passes."""
    for second in ("-", ".", "SUMARNI", "sumarni", "'"):
        name = {
            "script": "Latn",
            "fullName": "SUMARNI",
            "primaryIdentifier": "SUMARNI",
            "secondaryIdentifier": second,
        }
        assert [f.code for f in name_faults(name, "")] == ["E-SCHEMA"]
    assert list(name_faults({"script": "Latn", "primaryIdentifier": "CONTOH", "secondaryIdentifier": "AGUS"}, "")) == []


@pytest.mark.parametrize("value", ["ទីនេះ\u200bនិង", "line\nline\ttab", "مثال"])
def test_text_in_any_script(value: str) -> None:
    """Line breaks and zero-width spaces are text."""
    assert text_fault(value) is None


@pytest.mark.parametrize("value", ["a\u202eb", "a\u0000b", "a\u2068b", "a\x1bb"])
def test_text_that_hides(value: str) -> None:
    """Controls and bidi characters are not."""
    assert text_fault(value) is not None


@pytest.mark.parametrize(
    ("value", "fine"),
    [
        ("+628000000003", True),  # form only: no plan has this number
        ("+85512345678", True),
        ("+12025550100", True),
        ("0812-0000-0000", False),
        ("+62 800 000 0003", False),
        ("+62", False),
        ("+0123456789", False),
        ("+99912345678", False),  # no such calling code
        ("+1234567890123456", False),
    ],
)
def test_phone_numbers_by_form(value: str, fine: bool) -> None:
    """E.164 and a calling code that exists."""
    assert is_phone(value) is fine


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("SUMARNI", "A woman, Sumarni, was seen.", True),
        ("SUMARNI", "A woman, Sumarnita, was seen.", False),
        ("Agus Contoh", "it was agus  CONTOH who", True),
        ("Agus Contoh", "Contoh Agus", False),
        ("Li", "Li came.", False),  # two letters are a word of some language
        ("Nguyễn Văn An", "so NGUYEN VAN AN said", True),
        ("សុខ ឧទាហរណ៍", "គេឃើញសុខឧទាហរណ៍នៅទីនោះ", True),
        ("李测试", "据李测试说", True),
        ("李·测试", "据李测试说", True),
        ("A B C D E F G H", "a b c d e f x", True),  # the first six words decide
    ],
)
def test_an_index_of_names_finds_what_a_text_mentions(name: str, text: str, found: bool) -> None:
    """Key by key as the index is asked, and directly: the same answer."""
    key = mention_key(name)
    asked = key is not None and mention_head(key) in heads_in(text) and key in keys_in(text, heads_in(text))
    assert asked is found
    assert mentions(text, [name]) is found
