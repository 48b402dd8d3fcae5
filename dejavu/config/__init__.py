"""The master settings, and the operator's configuration read once into a frozen object."""
