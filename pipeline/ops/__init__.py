"""One module per operator, found by name: parse and check, the integer oracle, and the call in C, side by side."""
