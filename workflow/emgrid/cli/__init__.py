"""The commands of `emgrid`: each module adds its arguments, and runs; what is found out is found
out elsewhere."""
