"""What is installed, and where it can be: `make package` runs these tests."""
