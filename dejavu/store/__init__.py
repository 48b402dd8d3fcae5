"""Databases: one file a driver, and what lies between them and the service."""
