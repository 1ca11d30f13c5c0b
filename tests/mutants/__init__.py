"""A measure of the tests: small faults are put into the source, and the tests should notice them."""
