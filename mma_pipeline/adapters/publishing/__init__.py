"""Publication: decides what is sent where, and sends it once. See docs/publication.md."""
