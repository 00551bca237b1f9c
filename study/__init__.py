"""What to measure, and running it: the study file, the plan, the sweep and its records."""
