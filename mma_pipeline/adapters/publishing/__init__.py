"""Publication: what is sent where, exactly once. See docs/publication.md."""
