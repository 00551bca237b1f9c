"""What to measure, and running it: the study file, the plan, the sweep and its records."""

import sys

if sys.argv[:1] == ["-m"]:  # so it is while Python looks for the module of a command
    from analysis import program

    program.begin(__name__)
