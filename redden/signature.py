"""The tensors of every redden SavedModel, under TensorFlow's default serving signature.

Input ``pixels``: float32, shape (galaxies, 32, 32, bands), normalised; the last axis follows ``ModelCard.bands``.

Input ``context``, of models with the normalisation ``photometric`` only: float32, shape (galaxies, columns), see
``redden.photometric``.

Outputs, by ``ModelCard.posterior``; columns follow ``ModelCard.targets``:

``point``
    ``mean``: float32, shape (galaxies, targets).
``gaussian``
    ``mean`` as above, and ``scale_tril``: float32, shape (galaxies, targets, targets), the lower Cholesky factor of
    the covariance, both in the space of the targets' transforms.
``mixture``
    A mixture of Gaussians in that space: ``logits``: float32, shape (galaxies, components), whose softmax are the
    weights; ``mean``, shape (galaxies, components, targets); ``scale_tril``, shape (galaxies, components, targets,
    targets).

Models whose card has ``levels`` also answer ``levels``: float32, shape (galaxies, 4, 5), rising between 0 and 1: for
A_V, E(B-V), R_V and log sSFR the probabilities at which the posterior's quantiles must be taken, in place of 0.025,
0.16, 0.5, 0.84 and 0.975, to hold what these promise.

Models whose card has ``domain`` also answer ``domain``: float32, shape (galaxies,), the domain score.
"""

from typing import Final

SIGNATURE: Final = "serving_default"
PIXELS: Final = "pixels"
CONTEXT: Final = "context"
MEAN: Final = "mean"
SCALE_TRIL: Final = "scale_tril"
LOGITS: Final = "logits"
LEVELS: Final = "levels"
DOMAIN: Final = "domain"

OUTPUTS: Final[dict[str, tuple[str, ...]]] = {
    "point": (MEAN,),
    "gaussian": (MEAN, SCALE_TRIL),
    "mixture": (LOGITS, MEAN, SCALE_TRIL),
}
"""Names of the outputs by kind of posterior."""
