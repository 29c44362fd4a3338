"""The plan of a job: every row in one chunk, neighbours on the sky together."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.jobs.plan import chunks_of_rows, read_chunk, write_plan
from service.jobs.store import Store

angles = st.floats(-90, 90) | st.just(float("nan"))


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(positions=st.lists(st.tuples(angles, angles), min_size=1, max_size=30), chunk_rows=st.integers(1, 12))
def test_every_row_is_in_one_chunk_with_what_belongs_to_it(tmp_path, positions, chunk_rows):
    ra, dec = np.array(positions).T
    redshift = np.column_stack([np.arange(len(ra)), np.full(len(ra), np.nan)])
    chunks = write_plan(tmp_path, len(ra), chunk_rows, ra, dec, redshift)
    store = Store.at(str(tmp_path))
    of_row = chunks_of_rows(store, "", 0, len(ra))
    seen = []
    for number in range(chunks):
        chunk = read_chunk(store, "", number)
        assert 0 < len(chunk.rows) <= chunk_rows
        np.testing.assert_array_equal(chunk.ra, ra[chunk.rows])
        np.testing.assert_array_equal(chunk.dec, dec[chunk.rows])
        np.testing.assert_array_equal(chunk.redshift, redshift[chunk.rows])
        assert (of_row[chunk.rows] == number).all()
        seen += chunk.rows.tolist()
    assert sorted(seen) == list(range(len(ra)))


def test_a_chunk_is_a_stripe_of_the_sky_and_rows_without_position_come_last(tmp_path):
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(150.0, 150.3, 1000), rng.uniform(2.0, 2.3, 1000)
    dec[7] = np.nan
    chunks = write_plan(tmp_path, 1000, 100, ra, dec, None)
    stripes = [read_chunk(Store.at(str(tmp_path)), "", number) for number in range(chunks)]
    heights = [np.nanmax(stripe.dec) - np.nanmin(stripe.dec) for stripe in stripes]
    assert np.median(heights) < 0.1
    assert stripes[-1].rows[-1] == 7
    assert stripes[0].redshift is None


def test_images_stay_in_order(tmp_path):
    assert write_plan(tmp_path, 5, 2, None, None, None) == 3
    store = Store.at(str(tmp_path))
    assert [read_chunk(store, "", number).rows.tolist() for number in range(3)] == [[0, 1], [2, 3], [4]]
    assert read_chunk(store, "", 0).ra is None
    assert chunks_of_rows(store, "", 1, 4).tolist() == [0, 1, 1]


def test_rows_are_taken_out_of_a_chunk(tmp_path):
    write_plan(tmp_path, 3, 3, np.array([1.0, 2, 3]), np.array([1.0, 2, 3]), np.ones((3, 2)))
    left = read_chunk(Store.at(str(tmp_path)), "", 0).without(np.array([1]))
    assert (left.rows.tolist(), left.ra.tolist(), left.redshift.shape) == ([0, 2], [1, 3], (2, 2))
