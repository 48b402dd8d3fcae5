"""How well and how fast the service does its work: commands that print figures and judge nothing by time."""
