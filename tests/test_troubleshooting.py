"""docs/troubleshooting.md quotes messages that the code has: whoever searches for one arrives there."""

from __future__ import annotations

import re
from functools import cache

import pytest

from tests.helpers import REPOSITORY

PAGE = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = [
    line for block in re.findall(r"^```text\n(.*?)^```$", PAGE, re.M | re.S) for line in block.splitlines() if line
]
SEAMS = (
    r"\.\.\.|smsr-\w+: error: |: expected |^expected |, got |; "
    r"|SMSR_\w+|model\.trt\.onnx|(?:GPU|TensorRT) (?=\.\.\.)"
)
"""What stands between a message's literal parts: values, names that the code has as constants, and the words that
SmsrError puts between its four parts."""


@cache
def literals() -> str:
    """The sources' text, with strings that continue on the next line joined."""
    files = [*(REPOSITORY / "runtime").rglob("*.py"), *(REPOSITORY / "export").rglob("*.py")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return re.sub(r'"\s*\n\s*f?"', "", text)


def parts(message: str) -> list[str]:
    return [part.strip(" .,:()") for part in re.split(SEAMS, message) if len(part.strip(" .,:()")) > 3]


def test_the_page_quotes_messages() -> None:
    assert len(MESSAGES) > 15 and all(parts(message) for message in MESSAGES)


@pytest.mark.parametrize("message", MESSAGES)
def test_every_part_of_a_message_is_in_the_code(message: str) -> None:
    missing = [part for part in parts(message) if part not in literals()]
    assert not missing, "the code has no such words"


@pytest.mark.parametrize("words", ["at most ... of 256 from the golden output", "expected an engine for CPU ..."])
def test_words_that_the_code_does_not_have_are_noticed(words: str) -> None:
    assert [part for part in parts(words) if part not in literals()]
