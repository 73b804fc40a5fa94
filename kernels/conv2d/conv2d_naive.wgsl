// Convolution, one output per invocation: the permanent baseline.
//
//   y[n, oy, ox, o] = bias[o] + sum over ky, kx, c of
//     x[n, oy * stride - top + ky * dilation, ox * stride - left + kx * dilation, g * C + c]
//     * weight[o, ky, kx, c],  g = o / outputs per group; outside the image x is 0
//
// Shapes: x: f32[N, H, W, groups * C]; weight: f32[O, KH, KW, C]; bias: f32[O], read when has_bias
//   is 1; y: f32[N, OH, OW, O]. All row-major.
// Bindings: x, weight, bias, y. Without a bias any buffer may stand for it.
// Dispatch: gridFor(count, 64), folded from x into y; count = N * OH * OW * O.
// Accumulates in f32, in the order of ky, kx, c, for the channels from c_begin to c_end; adds to y
//   when accumulate is 1.
// Variants: 1. naive (this), 2. conv2d_register.wgsl, 3. conv2d_tiled.wgsl, 4. depthwise.wgsl; figures
//   in docs/kernels/convolution.md.

struct Params {
  count: u32,
  height: u32,
  width: u32,
  channels: u32, // of a group
  out_height: u32,
  out_width: u32,
  outputs: u32,
  group_outputs: u32, // outputs of a group
  kernel_height: u32,
  kernel_width: u32,
  stride_y: u32,
  stride_x: u32,
  top: u32,
  left: u32,
  dilation_y: u32,
  dilation_x: u32,
  c_begin: u32,
  c_end: u32,
  accumulate: u32,
  has_bias: u32,
  relu: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (wid.y * grid.x + wid.x) * 64u + lane;
  if (index >= params.count) {
    return;
  }
  let output = index % params.outputs;
  let ox = index / params.outputs % params.out_width;
  let oy = index / (params.outputs * params.out_width) % params.out_height;
  let image = index / (params.outputs * params.out_width * params.out_height);
  let row_channels = params.channels * (params.outputs / params.group_outputs);
  let first_channel = output / params.group_outputs * params.channels;
  var sum = 0.0;
  if (params.accumulate == 1u) {
    sum = y[index];
  }
  for (var ky = 0u; ky < params.kernel_height; ky++) {
    // Below zero wraps around to more than the height.
    let iy = oy * params.stride_y + ky * params.dilation_y - params.top;
    if (iy >= params.height) {
      continue;
    }
    for (var kx = 0u; kx < params.kernel_width; kx++) {
      let ix = ox * params.stride_x + kx * params.dilation_x - params.left;
      if (ix >= params.width) {
        continue;
      }
      let at = ((image * params.height + iy) * params.width + ix) * row_channels + first_channel;
      let w = ((output * params.kernel_height + ky) * params.kernel_width + kx) * params.channels;
      for (var c = params.c_begin; c < params.c_end; c++) {
        sum = fma(x[at + c], weight[w + c], sum);
      }
    }
  }
  if (params.has_bias == 1u) {
    sum += bias[output];
  }
  if (params.relu == 1u && sum < 0.0) {
    sum = 0.0;
  }
  y[index] = sum;
}
