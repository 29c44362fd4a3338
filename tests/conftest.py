"""What tests of several rooms need."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Machines that run tests are busy; how long an example takes says nothing.
settings.register_profile("redden", deadline=None)
settings.load_profile("redden")

# Real images are not part of the project. REDDEN_REAL_IMAGES names their folder: `jwst/NAME_BAND.fits` cutouts and
# `psf/starstack_BAND.fits`; by default it is looked for beside the checkout.
_BESIDE_THE_CHECKOUT = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_images() -> Path:
    """Folder of real JWST images that are not part of the project; tests that need it are skipped without it."""
    folder = Path(os.environ.get("REDDEN_REAL_IMAGES", _BESIDE_THE_CHECKOUT))
    if not (folder / "jwst").is_dir():
        pytest.skip("no folder of real images: set REDDEN_REAL_IMAGES")
    return folder
