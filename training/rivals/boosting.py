"""Gradient-boosted trees on photometric and shape features, fitted for the very bands and depth they are asked for."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from training.rivals.mocks import Answer, BandSet, Mocks, points
from training.rivals.photometry import features

TARGETS: Final = ("a_v", "e_bv", "log_ssfr")

_SETTINGS: Final[Mapping[str, Any]] = {
    "learning_rate": 0.05,
    "max_iter": 1500,
    "max_leaf_nodes": 24,
    "min_samples_leaf": 40,
    "l2_regularization": 3.0,
    "max_features": 0.3,
    "early_stopping": True,
    "n_iter_no_change": 40,
}


class Boosting:
    """Point estimates by gradient boosting; R_V is the ratio of two of them.

    The trees minimise the squared error, which is what R2 counts: no other point estimate of theirs would score
    higher. They stop growing when the validation galaxies stop gaining.

    Parameters
    ----------
    band_set : BandSet
        What the trees see.
    train, validation : Mocks
        Galaxies to fit to and to stop by, observed as those to be answered will be.
    seed : int
        Of the features that each split may choose from.
    """

    name = "gradient boosting"

    def __init__(self, band_set: BandSet, train: Mocks, validation: Mocks, *, seed: int) -> None:
        self._band_set = band_set
        seen, unseen = self._features(train), self._features(validation)
        self._trees = {
            target: HistGradientBoostingRegressor(**_SETTINGS, random_state=seed).fit(
                seen, train.truth[target], X_val=unseen, y_val=validation.truth[target]
            )
            for target in TARGETS
        }

    def takes(self, band_set: BandSet) -> bool:
        """Only what it was fitted to."""
        return band_set == self._band_set

    def answer(self, mocks: Mocks) -> Answer:
        """Estimates for galaxies."""
        seen = self._features(mocks)
        values = {target: trees.predict(seen) for target, trees in self._trees.items()}
        with np.errstate(divide="ignore", invalid="ignore"):
            values["r_v"] = np.where(values["e_bv"] > 0, values["a_v"] / values["e_bv"], np.nan)
        return {quantity: points(estimates) for quantity, estimates in values.items()}

    def _features(self, mocks: Mocks) -> NDArray[np.float32]:
        found = features(mocks.seen_in(self._band_set), self._band_set.bands)
        # Trees want no columns without a value.
        return found if self._band_set.redshift else found[:, :-2]
