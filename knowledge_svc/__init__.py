"""What is known: knowledge items, the words and vectors that find them, and search."""

import os

# Before numpy is first imported: its products of matrices would take a thread for each core, which
# wait for one another busily. A search's are small, and on a machine with other work ten times as
# quick in one thread.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
