"""Runs of networks that were never fitted."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from redden.modelcard import ModelCard
from redden.photometric import PHOTOMETRIC, context_columns
from training.domain import with_domain
from training.fit_redden import TARGETS
from training.networks.redden import Scales, Shape, build
from training.rivals.mocks import ALL_BANDS


def write_unfitted(
    out: Path, *, seed: int = 0, components: int = 2, usual: keras.Model | None = None, **card: Any
) -> Path:
    """A run of the redden model that answers the spread of the labels to every galaxy, and too narrow."""
    keras.utils.set_random_seed(seed)
    shape = Shape(filters=(4, 4, 4), context=8, dense=(8, 8), components=components)
    columns = context_columns(len(ALL_BANDS))
    scales = Scales(np.zeros(columns), np.full(columns, 5.0), np.array([0.2, -1.6, -8.2]), np.array([0.35, 0.35, 0.1]))
    out.mkdir()
    with_domain(build(ALL_BANDS, shape, scales), usual).save(out / "network.keras")
    plain = {
        "name": "redden",
        "version": 1,
        "description": "not fitted",
        "bands": ALL_BANDS,
        "normalisation": PHOTOMETRIC,
        "targets": TARGETS,
        "posterior": "mixture",
        "trained_with": {"seed": seed},
        "figures_of_merit": {},
        "intended_use": "none",
    }
    ModelCard.model_validate(plain | card).write(out)
    return out
