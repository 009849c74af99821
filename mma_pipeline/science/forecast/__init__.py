"""How bright a kilonova of an event would be, and how deep one must go to see it.

Here: what the notice lets one expect, masses of ejecta, distances, simulated light curves, their quantiles, tables, a plot.
Not here: the light-curve families (`science.kilonova.simulation`), and the product (`defs.observing.forecast`).
"""
