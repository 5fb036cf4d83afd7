"""What the command line does: asking a server, showing what it says, and the programs that run by themselves."""
