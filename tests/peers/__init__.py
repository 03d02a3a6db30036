"""Other people's SCTP, over real sockets."""
