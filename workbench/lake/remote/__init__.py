"""A lake on object storage: which paths stand for it, its objects, and the mirror of it that this machine keeps.

The truth stands in the bucket. This machine's root for it is a folder whose path alone tells of which bucket it is (`where`): `tmp`, `locks`, `runs`,
`journal` and `logs` in it are the machine's own, `lake/` in it is a mirror. Logs are mirrored whole, since commits never change, so that everything
that reads a log reads files; data files come when they are asked for.
"""
