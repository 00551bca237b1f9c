__version__ = "2.0+standin"
cuda = "0.0"
