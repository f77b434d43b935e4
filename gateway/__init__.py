"""HTTP for clients: composes identity, events and knowledge, and owns no data."""
