"""The one database that holds everything: open it, lease runs, wait for it, and read it back."""
