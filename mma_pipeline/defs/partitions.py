"""Partitions: one per event and version, keyed by `EventVersion.partition_key`."""

import dagster as dg

#: Every version of every gravitational-wave event.
alert_versions = dg.DynamicPartitionsDefinition(name="alert_version")
