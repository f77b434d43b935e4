"""What every service process needs and no service owns."""

import os

# grpc's C core writes its own lines to stderr; ours are JSON and say the same.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
