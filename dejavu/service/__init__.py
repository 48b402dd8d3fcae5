"""The use cases: what HTTP asks for, done with workers and databases."""
