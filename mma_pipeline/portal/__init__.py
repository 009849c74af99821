"""The portal: pages and an API over all events, read-only (`mma serve`). Not here: the event's page itself, which the store has."""
