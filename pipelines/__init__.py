"""What people run, and copy: each a short `build(...)` of Beam steps and a `main(argv)`."""
