"""A stranger's package that adds one of each: for the tests of isbench."""
