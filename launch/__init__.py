"""How to start things: engines, nsys, processes, and the environments they live in."""
