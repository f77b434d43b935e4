"""The `kith` command: starts everything embedded, and looks after its data."""
