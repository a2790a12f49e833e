"""Views of runs: tables, plots, pages."""
