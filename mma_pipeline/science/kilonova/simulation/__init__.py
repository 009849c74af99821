"""The kilonova model that scoring, plots and simulated counterparts share: heating, radiation, light curves.

What only training simulates is in `mma_pipeline.training.simulation`.
"""
