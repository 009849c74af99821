"""The API at /api/v1: what the archive and the store have, as JSON, VOTable or ECSV."""
