"""What the source of a program says of a running thread: its line, and the names of its objects."""
