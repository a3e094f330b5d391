"""What can be asked: DuckDB views over a snapshot, and reports on what the lake holds."""
