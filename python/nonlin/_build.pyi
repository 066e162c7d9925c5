THREADS: str  # "pool", "openmp" or "none": what CMake was told; it writes the module
