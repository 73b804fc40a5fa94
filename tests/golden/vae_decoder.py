"""The decoder of Stable Diffusion 2's autoencoder, small, as PyTorch exports it.

The module has the structure and the names of diffusers' AutoencoderKL, so that the nodes and values of
the exported graph are called as there; the weights are random, and there are 4 or 8 channels where the
real one has 128 to 512. scaled_dot_product_attention, which PyTorch 1.13 lacks, is written as later
exporters write it.
"""

import sys

import torch
import torch.nn.functional as F
from torch import nn

GROUPS = 2


class ResnetBlock2D(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, inputs, eps=1e-6)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, outputs, eps=1e-6)
        self.dropout = nn.Dropout(0.0)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.nonlinearity = nn.SiLU()
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x):
        inner = self.conv1(self.nonlinearity(self.norm1(x)))
        inner = self.conv2(self.dropout(self.nonlinearity(self.norm2(inner))))
        if self.conv_shortcut is not None:
            x = self.conv_shortcut(x)
        return (x + inner) / 1.0


class Attention(nn.Module):
    def __init__(self, channels, heads):
        super().__init__()
        self.heads = heads
        self.group_norm = nn.GroupNorm(GROUPS, channels, eps=1e-6)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels), nn.Dropout(0.0)])

    def forward(self, x):
        residual = x
        n, channels, height, width = x.shape
        x = x.view(n, channels, height * width).transpose(1, 2)
        x = self.group_norm(x.transpose(1, 2)).transpose(1, 2)
        q, k, v = self.to_q(x), self.to_k(x), self.to_v(x)
        size = k.shape[-1] // self.heads
        q, k, v = (y.view(n, -1, self.heads, size).transpose(1, 2) for y in (q, k, v))
        scale = torch.sqrt(1.0 / torch.sqrt(torch.tensor(1.0) * q.size(-1)))
        weights = torch.softmax(torch.matmul(q * scale, k.transpose(-1, -2) * scale), dim=-1)
        x = torch.matmul(weights, v).transpose(1, 2).reshape(n, -1, self.heads * size)
        x = self.to_out[1](self.to_out[0](x))
        x = x.transpose(-1, -2).reshape(n, channels, height, width)
        return (x + residual) / 1.0


class Upsample2D(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class UpDecoderBlock2D(nn.Module):
    def __init__(self, inputs, outputs, grows):
        super().__init__()
        sizes = [inputs, outputs, outputs]
        self.resnets = nn.ModuleList([ResnetBlock2D(size, outputs) for size in sizes])
        self.upsamplers = nn.ModuleList([Upsample2D(outputs)]) if grows else []

    def forward(self, x):
        for layer in [*self.resnets, *self.upsamplers]:
            x = layer(x)
        return x


class UNetMidBlock2D(nn.Module):
    def __init__(self, channels, heads):
        super().__init__()
        self.attentions = nn.ModuleList([Attention(channels, heads)])
        self.resnets = nn.ModuleList([ResnetBlock2D(channels, channels) for _ in range(2)])

    def forward(self, x):
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class Decoder(nn.Module):
    def __init__(self, widths, heads):
        super().__init__()
        self.conv_in = nn.Conv2d(4, widths[0], 3, padding=1)
        self.mid_block = UNetMidBlock2D(widths[0], heads)
        sizes = zip([widths[0], *widths], widths, [True, True, True, False])
        self.up_blocks = nn.ModuleList([UpDecoderBlock2D(*size) for size in sizes])
        self.conv_norm_out = nn.GroupNorm(GROUPS, widths[-1], eps=1e-6)
        self.conv_act = nn.SiLU()
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, x):
        x = self.mid_block(self.conv_in(x))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(self.conv_act(self.conv_norm_out(x)))


class AutoencoderKL(nn.Module):
    def __init__(self, widths, heads):
        super().__init__()
        self.post_quant_conv = nn.Conv2d(4, 4, 1)
        self.decoder = Decoder(widths, heads)

    def forward(self, latent_sample):
        return self.decoder(self.post_quant_conv(latent_sample))


def main(path):
    torch.manual_seed(1)
    model = AutoencoderKL([8, 8, 4, 4], heads=1).eval()
    for parameter in model.parameters():
        if parameter.dim() == 1:
            # Arrays that are equal would be stored once.
            parameter.data += 0.2 * torch.randn_like(parameter)
    names = ["batch_size", "num_channels_latent", "height_latent", "width_latent"]
    torch.onnx.export(
        model,
        (torch.randn(1, 4, 2, 3),),
        path,
        opset_version=14,
        input_names=["latent_sample"],
        output_names=["sample"],
        dynamic_axes={
            "latent_sample": dict(enumerate(names)),
            "sample": {0: "batch_size", 1: "num_channels", 2: "height", 3: "width"},
        },
    )


if __name__ == "__main__":
    main(sys.argv[1])
