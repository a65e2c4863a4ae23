"""The commands of the command line, a module a topic. None imports anything heavy before it is called."""
