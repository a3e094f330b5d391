"""Documented tables handed back to an old database: `workbench export TABLE --to postgresql://…` or `--to sqlite:…`. An import of them compares equal."""
