"""Turns multi-messenger alerts into products for observers.

The version number is defined here. The package's metadata read it (`[tool.hatch.version]`), and `tests/test_version.py`
compares the chart, the citation and the changelog with it.
"""

__version__ = "0.2.0"
