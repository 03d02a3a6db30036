"""The command line, driven as a user does: as processes, through pipes and on a terminal."""
