"""Kernels: tensors in, tensors out; they know no metric and no triplet."""
