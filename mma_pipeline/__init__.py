"""Multi-messenger alerts in, products that observers act on out."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("mma_pipeline")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0+unknown"
