"""A Django app for TOM Toolkit 3: derived alerts become targets and observation requests.

Here: the local table of derived alerts, its filling from a stream, the query that observers use, targets, the
withdrawal of requests after a retraction, and a TOM project that runs (`project`). Not here: what a derived alert
is (`mma_pipeline.notices.derived`) and how Kafka is read (`mma_pipeline.adapters.kafka.reader`).

It has its own environment (`make tom`), because the toolkit's pins of numpy and astropy differ from ours. So it imports only
notices and lightweight modules of adapters from mma_pipeline, and nothing imports it.
"""
