"""The page of an event: what is on it (`state`), how it looks (`render`, `templates`), when it is written (`write`)."""
