# SPDX-License-Identifier: MIT
"""What ./inv test hands to pytest."""

from __future__ import annotations

from harness.testing import after_dashes


def test_words_after_the_dashes_stay_as_they_were_quoted() -> None:
    assert after_dashes(["inv", "test", "--", "-k", "scan or ping", "-x"]) == ["-k", "scan or ping", "-x"]
    assert after_dashes(["inv", "test"]) == []
