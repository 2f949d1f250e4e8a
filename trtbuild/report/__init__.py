"""The only printers: live progress and tables for a terminal, JSON for machines."""
