"""Dagster definitions by domain. Besides `definitions`, `instance` and the command line, only this package uses Dagster."""

import warnings

import dagster as dg

# Owners, backfill policies and code references are in beta, which does not concern users of the pipeline.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
