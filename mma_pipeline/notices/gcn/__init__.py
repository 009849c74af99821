"""Notices of GCN's unified schema (nasa-gcn/gcn-schema): one parser, and a short declaration for each stream."""
