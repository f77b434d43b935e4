"""The routes: one file per resource; each validates, asks a flow or a client, and answers."""
