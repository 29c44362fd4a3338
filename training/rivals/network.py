"""A redden model as one method among the others: from pixels to quantiles, by the code that serving uses."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from redden.modelinput import Inputs, model_inputs
from redden.posterior import QUANTITIES, combinations, quantiles
from training.calibration import components
from training.predict import open_model
from training.rivals.mocks import ALL_BANDS, ANY, BAND_SETS, Answer, BandSet, Mocks, points


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

    def views(self, mocks: Mocks, *, seed: int) -> Iterator[tuple[str, Mocks]]:
        """Mock galaxies in each set of bands that it can answer from, with the set's name.

        Parameters
        ----------
        mocks : Mocks
            In all bands.
        seed : int
            Of the draw of any bands, as in training batches; they are the last set, for a network that takes them.
        """
        yield from ((each.name, mocks.seen_in(each)) for each in BAND_SETS if self.takes(each))
        if self.card.takes_any_bands:
            yield ANY, mocks.seen_at_random(np.random.default_rng(seed))

    def inputs(self, mocks: Mocks) -> Inputs:
        """What the network is given, see ``redden.signature``."""
        return model_inputs(mocks.pixels[..., self._columns], self.card, mocks.redshift)

    def outputs(self, mocks: Mocks) -> dict[str, NDArray[np.float32]]:
        """What the network answers, see ``redden.signature``."""
        return self._predict(self.inputs(mocks))

    def answer(self, mocks: Mocks) -> Answer:
        """Quantiles for galaxies."""
        return quantiles(self.card, self.outputs(mocks))


class PosteriorMean:
    """The means of a network's posteriors as point estimates.

    The median has the least absolute error, the mean the least squared one, which R2 counts. Where a posterior is
    skewed, as that of A_V is, a method that answers means, such as trees fitted by squares, is fairly compared by R2
    only to this. Means are those of the network itself; levels move quantiles only.

    Parameters
    ----------
    network : Network
        With a posterior.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self.name = f"{network.name}, mean"

    def takes(self, band_set: BandSet) -> bool:
        """Whether the network can answer from these bands."""
        return self._network.takes(band_set)

    def answer(self, mocks: Mocks) -> Answer:
        """Means for galaxies."""
        log_weight, mean, scale_tril = components(self._network.outputs(mocks))
        targets = self._network.card.targets
        values: dict[str, NDArray[np.float64]] = {}
        for name, along in zip(QUANTITIES, combinations(self._network.card), strict=True):
            centre = mean @ along
            if name == "r_v" or any(target.name == name and target.transform == "log" for target in targets):
                # The mean of a lognormal is exp(centre + variance / 2).
                centre = np.exp(centre + np.square(along @ scale_tril).sum(axis=-1) / 2)
            values[name] = points((np.exp(log_weight) * centre).sum(axis=1))
        return values
