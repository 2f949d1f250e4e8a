"""trtexec's command lines as recipes, and recipes as trtexec's command lines."""
