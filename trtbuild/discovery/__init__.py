"""What the user's code reads while a stage runs: files, folders, modules, packages, variables."""
