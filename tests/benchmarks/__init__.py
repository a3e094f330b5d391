"""Benchmarks: the same work by the workbench and by its peers, interleaved in one run; ratios are what counts."""
