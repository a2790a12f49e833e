"""Systems to compare with, one file each; every file holds a `card`."""
