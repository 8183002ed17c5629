"""Words on the pages that need no page to be tried."""

import pytest

from ctrs.model.saliency_checks import LEAST, LESS_THAN
from ctrs.ui.messages import saliency_doubt


def test_saliency_that_passed_its_checks_needs_no_words():
    assert saliency_doubt({"n": 12, "missed": []}) == ""


def test_saliency_that_failed_says_by_which_checks():
    words = saliency_doubt({"n": 12, "missed": ["renoised_ssim", "pointing_game"]})
    assert "in 12 simulated patients it missed 2 of 5 checks" in words
    assert "changes with the noise" in words
    assert "lies beside what drives the risk" in words
    assert "random" not in words


@pytest.mark.parametrize("check", [*LEAST, *LESS_THAN])
def test_every_check_has_its_words(check):
    assert "missed 1 of 5 checks (" in saliency_doubt({"n": 3, "missed": [check]})


def test_saliency_that_was_never_checked_is_not_called_reliable():
    assert "not checked" in saliency_doubt(None)
