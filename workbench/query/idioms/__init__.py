"""The documented platforms' own SQL, as DuckDB runs it: names, spellings, and what stands here in place of statements that keep a database.

`using` reads a text while a platform is in use; `names` finds its tables, `postgres` and `sqlite` translate what the two dialects spell otherwise,
`admin` answers statements that ask for no rows, `hints` says in an error what would have worked. Only `hints` is for every session; the others
need sqlglot, which is loaded when a platform is first used.
"""
