"""A third-party package that adds one of each: for the tests of isbench."""
