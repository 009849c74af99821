"""A TOM that runs: settings from the environment, URLs, and the WSGI application."""
