"""workbench: market data as a lake of Parquet, asked in SQL."""

__version__ = "0.1.0"
