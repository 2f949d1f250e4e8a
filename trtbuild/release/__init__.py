"""What is committed and shipped: locks, rebuild checks, and bundles that can be proven."""
