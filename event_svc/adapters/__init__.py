"""The event service's ports over Postgres."""
