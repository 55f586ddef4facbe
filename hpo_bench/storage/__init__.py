"""The one storage that holds everything: opened, leased, waited for, and read back."""
