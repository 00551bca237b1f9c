"""Case folders to tables, causes and a report; needs no GPU, no engine and no nsys."""
