"""The results that README and documentation show, and the command that makes them again."""
