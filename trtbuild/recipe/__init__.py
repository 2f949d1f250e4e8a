"""Recipes: strict YAML in, frozen values out, and every problem named with its place."""
