"""Derived alerts in the forms of other receivers: GCN's unified notices and Hermes messages."""
