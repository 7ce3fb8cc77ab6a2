"""Django files on a Tahoe-LAFS grid, with a sealed, disk-backed cache of caps."""

__version__ = "0.2.0"
