"""NLPD against the package plenoptic."""

from __future__ import annotations

import importlib

import torch

from tests.support import any_weights, random_triplets


def test_agrees_with_plenoptic() -> None:
    nlpd, batch = importlib.import_module("plenoptic.metric").nlpd, random_triplets(2, side=64)
    ref, x = batch.ref[..., :47], 0.7 * batch.p0[..., :47] + 0.1
    grey = [torch.einsum("c,nchw->nhw", torch.tensor([0.299, 0.587, 0.114]), image) for image in (ref, x)]
    expected = nlpd(*(image.unsqueeze(1) for image in grey)).flatten()
    torch.testing.assert_close(any_weights("nlpd")(ref, x), expected, rtol=1e-4, atol=1e-4)
