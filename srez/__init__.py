__version__ = "2.0.dev0"  # 1 was the program of 2016
