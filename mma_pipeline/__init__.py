"""Multi-messenger alerts in, products that observers act on out."""
