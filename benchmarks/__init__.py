"""Speed, measured: ``python -m benchmarks`` prints every figure with versions and load."""
