"""The cache: bytes by digest, results by action key, and what is remembered about files."""
