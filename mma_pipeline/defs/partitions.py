"""Partitions: one per version of an event, with the key `EventVersion.partition_key`."""

import dagster as dg

#: Every version of every gravitational-wave event.
alert_versions = dg.DynamicPartitionsDefinition(name="alert_version")
