"""Multi-messenger alerts in, products that observers act on out.

The release is named here; the package's metadata take it from here (`[tool.hatch.version]`), and `tests/test_version.py`
holds the chart, the citation and the changelog to it.
"""

__version__ = "0.2.0"
