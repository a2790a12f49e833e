"""`python -m isbench` is `isbench`."""

import sys
from pathlib import Path

from isbench.cli import main

if __name__ == "__main__":
    # `python -m` puts the current folder first on the path. It may hold received files, so nothing
    # in it is imported unless the user names it; a checkout of isbench itself is the exception.
    here = Path.cwd()
    if sys.path[:1] == [str(here)] and not Path(__file__).is_relative_to(here):
        del sys.path[0]
    main()
