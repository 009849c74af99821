"""Kilonova probability from photometry: simulation, features, classifier, calibration, prior and posterior.

Here: pure functions on arrays. Not here: reading files, archives, the clock, plots' destinations.
"""
