"""Restore: a snapshot of a backup becomes a lake, at a new root or in the place of one; whole or not at all, and gone on with where it was killed."""
