"""srez's training step in PyTorch: python bench/pytorch_peer.py BATCH_SIZE SIZE.

For each line on stdin, float32 or bfloat16, does one step and prints its seconds. Networks, losses
and optimizers are those of srez: channels last, one forward pass for both updates.
"""

import sys
import time

import torch
from torch import nn
from torch.nn import functional

SCALE = 4
# Units, kernel size and stride of each convolution.
DISCRIMINATOR = [(64, 3, 2), (128, 3, 2), (256, 3, 2), (512, 3, 2), (512, 3, 1), (512, 1, 1)]


class Residual(nn.Module):
    """Twice batch norm, ReLU and a 3x3 convolution; then the input is added."""

    def __init__(self, units):
        super().__init__()
        self.layers = nn.Sequential(_norm_relu_conv(units), _norm_relu_conv(units))

    def forward(self, x):
        """Maps [B, C, H, W] to the same shape."""
        return x + self.layers(x)


def build_generator():
    """Maps [B, 3, H, W] to [B, 3, 4H, 4W]."""
    layers, channels = [], 3
    for units in (256, 128):
        layers += [nn.Conv2d(channels, units, 1), Residual(units), Residual(units)]
        layers += [nn.Upsample(scale_factor=2), _norm_relu_conv(units)]
        channels = units
    layers += [nn.Conv2d(128, 96, 3, padding=1), nn.ReLU(), nn.Conv2d(96, 96, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(96, 3, 1), nn.Sigmoid())


def build_discriminator():
    """Maps [B, 3, H, W] to logits [B]."""
    layers, channels = [], 3
    for units, size, stride in DISCRIMINATOR:
        convolution = nn.Conv2d(channels, units, size, stride, padding=size // 2)
        layers += [convolution, nn.BatchNorm2d(units, eps=1e-3), nn.ReLU()]
        channels = units
    return nn.Sequential(*layers, nn.Conv2d(channels, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(0))


def _norm_relu_conv(units):
    return nn.Sequential(
        nn.BatchNorm2d(units, eps=1e-3), nn.ReLU(), nn.Conv2d(units, units, 3, padding=1)
    )


class Peer:
    """Networks, optimizers and a batch of random pictures."""

    def __init__(self, batch_size, size):
        layout = torch.channels_last
        self.generator = build_generator().to(memory_format=layout)
        self.discriminator = build_discriminator().to(memory_format=layout)
        self.optimizers = [
            torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999), 1e-8)
            for network in (self.generator, self.discriminator)
        ]
        self.high_res = torch.rand(batch_size, 3, size, size).to(memory_format=layout)
        self.low_res = functional.avg_pool2d(self.high_res, SCALE)

    def step(self, precision):
        """One forward pass, both gradients, both updates."""
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            generated = self.generator(self.low_res)
            fake = self.discriminator(generated * 2 - 1).float()
            real = self.discriminator(self.high_res * 2 - 1).float()
        generated = generated.float()
        cross_entropy = functional.binary_cross_entropy_with_logits
        l1_loss = (functional.avg_pool2d(generated, SCALE) - self.low_res).abs().mean()
        gene_loss = 0.1 * cross_entropy(fake, torch.ones_like(fake)) + 0.9 * l1_loss
        disc_loss = cross_entropy(real, torch.ones_like(real))
        disc_loss = disc_loss + cross_entropy(fake, torch.zeros_like(fake))
        parameters = [list(net.parameters()) for net in (self.generator, self.discriminator)]
        for loss, variables in zip((gene_loss, disc_loss), parameters, strict=True):
            gradients = torch.autograd.grad(loss, variables, retain_graph=loss is gene_loss)
            for variable, gradient in zip(variables, gradients, strict=True):
                variable.grad = gradient
        for optimizer in self.optimizers:
            optimizer.step()


def main():
    """Answers each line on stdin with the seconds of one step."""
    peer = Peer(*map(int, sys.argv[1:]))
    for line in sys.stdin:
        start = time.perf_counter()
        peer.step(line.strip())
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
