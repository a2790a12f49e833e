"""`python -m isbench` is `isbench`."""

from isbench.cli import main

if __name__ == "__main__":
    main()
