"""The commands of `kith knowledge`, each from a module of its own."""

import typer

from kithctl.knowledge import reindexing

app = typer.Typer(
    name="knowledge", help="Look after the index of what is known.", no_args_is_help=True
)
reindexing.add(app)
