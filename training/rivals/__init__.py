"""Other ways from a picture to A_V, E(B-V) and sSFR, which the network must beat on the same mocks.

Each is a module whose class has ``answer(mocks)``: from `mocks.Mocks` to quantiles by quantity.
"""
