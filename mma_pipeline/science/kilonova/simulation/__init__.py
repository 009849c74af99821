"""Simulated light curves: kilonovae of several families, afterglows, contaminants and the surveys that see them."""
