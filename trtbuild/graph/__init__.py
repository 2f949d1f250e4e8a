"""From a recipe to results: plan the tasks, decide what is stale, run it in order."""
