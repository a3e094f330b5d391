"""Processes killed while they write to a lake, and what readers find afterwards. `make crash` runs the long form."""
