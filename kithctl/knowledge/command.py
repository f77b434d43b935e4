"""The commands of `kith knowledge`, each from a module of its own."""

import typer

from kithctl.knowledge import reindexing
from kithctl.knowledge.letters import dead_letters
from kithctl.knowledge.status import status

app = typer.Typer(
    name="knowledge", help="Look after the index of what is known.", no_args_is_help=True
)
app.command("status")(status)
app.command("dead-letters")(dead_letters)
reindexing.add(app)
