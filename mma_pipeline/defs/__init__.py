"""The graph: the only place, with `definitions`, `instance` and the command line, that knows Dagster."""

import warnings

import dagster as dg

# Owners, backfill policies and code references are in beta: that says nothing to who runs the pipeline.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
