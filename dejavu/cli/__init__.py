"""The commands of `python -m dejavu`, one file each, for whoever runs a service."""
