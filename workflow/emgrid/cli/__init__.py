"""The commands of `emgrid`. Each module adds its arguments and prints; others compute what it
prints."""
