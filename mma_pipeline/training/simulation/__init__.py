"""Simulated skies for training: kilonovae of several families, afterglows, contaminants and surveys."""
