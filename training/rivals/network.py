"""A redden model as one method among the others: from pixels to quantiles, by the code that serving uses."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from redden.modelinput import model_inputs
from redden.posterior import quantiles
from training.predict import open_model
from training.rivals.mocks import ALL_BANDS, Answer, BandSet, Mocks


class Network:
    """A fitted network or exported model.

    Parameters
    ----------
    directory : Path
        See `training.predict.open_model`, also for the errors.
    """

    def __init__(self, directory: Path) -> None:
        self.card, self._predict = open_model(directory)
        self.name = self.card.name
        self._columns = [ALL_BANDS.index(band) for band in self.card.bands]

    def takes(self, band_set: BandSet) -> bool:
        """Whether it can answer from these bands."""
        if self.card.takes_any_bands:
            return any(band in self.card.bands for band in band_set.bands)
        return band_set.redshift <= self.card.takes_redshift and set(self.card.bands) <= set(band_set.bands)

    def outputs(self, mocks: Mocks) -> dict[str, NDArray[np.float32]]:
        """What the network answers, see ``redden.signature``."""
        pixels = mocks.pixels[..., self._columns]
        return self._predict(model_inputs(pixels, self.card, mocks.redshift))

    def answer(self, mocks: Mocks) -> Answer:
        """Quantiles for galaxies."""
        return quantiles(self.card, self.outputs(mocks))
