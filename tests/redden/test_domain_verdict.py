import numpy as np
import pytest

from redden.domain import domain_scores, in_domain, redshift_outside, warning
from redden.errors import ModelCardError
from tests.redden.test_modelcard import card

STRICT = card(domain={"threshold": 2.5})


def test_scores_above_the_threshold_are_strange() -> None:
    scores = domain_scores(STRICT, {"domain": np.array([0.5, 2.5, 2.75], dtype=np.float32)})
    assert scores is not None
    assert in_domain(STRICT, scores).tolist() == [True, True, False]
    assert [warning(STRICT, score) is None for score in scores] == [True, True, False]
    assert "domain score is 2.75, and only 1 % of them are above 2.5." in str(warning(STRICT, 2.75))
    tiny = card(domain={"threshold": 5.8e-5})
    assert "score is 0.0012, and only 1 % of them are above 5.8e-05." in str(warning(tiny, 0.0012))


def test_a_model_without_a_score_gives_no_verdict() -> None:
    assert domain_scores(card(), {"mean": np.zeros((2, 3), np.float32)}) is None
    assert warning(card(), 100.0) is None
    with pytest.raises(ModelCardError, match="has no domain score"):
        in_domain(card(), np.zeros(2))


@pytest.mark.parametrize("outputs", [{}, {"domain": np.array([1.0, np.nan])}, {"domain": np.zeros((2, 1))}])
def test_a_promised_score_that_is_not_there_is_refused(outputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(ModelCardError, match="no finite domain score"):
        domain_scores(STRICT, outputs)


def test_a_redshift_is_outside_only_where_it_is_known_and_two_errors_away() -> None:
    told = np.array([[4.0, 0.0], [4.0, 0.7], [4.0, 0.8], [9.5, 0.1], [9.2, 0.1], [4.0, np.nan], [np.nan, np.nan]])
    ranged = card(redshift_range=(5.5, 9.0))
    assert redshift_outside(ranged, told).tolist() == [True, True, False, True, False, False, False]
    assert not redshift_outside(card(), told).any()
