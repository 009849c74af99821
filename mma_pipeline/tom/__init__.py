"""A Django app for TOM Toolkit 3: derived alerts become targets and observation requests.

Here: the local table of derived alerts, its filling from a stream, the query that observers use, targets, the
withdrawal of requests after a retraction, and a TOM project that runs (`project`). Not here: what a derived alert
is (`mma_pipeline.notices.derived`) and how Kafka is read (`mma_pipeline.adapters.kafka.reader`).

It lives in an environment of its own (`make tom`), because the toolkit's pins of numpy and astropy differ from ours;
so it imports nothing of mma_pipeline beyond notices and the light modules of adapters, and nothing imports it.
"""
