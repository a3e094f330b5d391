"""What is kept: flat files become checked Parquet, committed to Delta tables. Everything here stands on `store`."""
