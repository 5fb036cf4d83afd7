"""The doors: who may connect, over HTTP and sockets, and how a connection lives and ends."""
