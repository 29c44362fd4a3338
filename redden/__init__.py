"""The astronomy that training and serving share: from FITS bytes to a model input, and from a model output to A_V."""

from importlib.metadata import version

__version__ = version("redden")
