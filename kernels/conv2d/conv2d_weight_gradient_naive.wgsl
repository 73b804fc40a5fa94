// Gradient of a convolution's weight, one element and slice per invocation: the permanent baseline.
//
//   dw[s, o, ky, kx, c] = sum over the pixels (n, oy, ox) of slice s of dy[n, oy, ox, o] *
//     x[n, oy * stride - top + ky * dilation, ox * stride - left + kx * dilation, g * C + c],
//     g = o / outputs per group; outside the image x is 0
//
// Shapes: x: f32[N, H, W, groups * C]; dy: f32[N, OH, OW, O]; dw: f32[slices, O, KH, KW, C].
//   Row-major.
// Bindings: x, dy, dw. Dispatch: gridFor(slices * size, 64), size = O * KH * KW * C, folded from x
//   into y.
// Accumulates in f32, in the order of the pixels. conv2d_add_slices.wgsl adds the slices.
// Variants: 1. naive (this), 2. conv2d_weight_gradient_register.wgsl,
//   3. conv2d_weight_gradient_tiled.wgsl, 4. depthwise_weight_gradient.wgsl.

struct Params {
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
  pixels: u32,
  slice_pixels: u32,
  slices: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (wid.y * grid.x + wid.x) * 64u + lane;
  let taps = params.kernel_height * params.kernel_width;
  let size = params.outputs * taps * params.channels;
  if (index >= params.slices * size) {
    return;
  }
  let c = index % params.channels;
  let kx = index / params.channels % params.kernel_width;
  let ky = index / (params.channels * params.kernel_width) % params.kernel_height;
  let output = index / (params.channels * taps) % params.outputs;
  let slice = index / size;
  let row_channels = params.channels * (params.outputs / params.group_outputs);
  let channel = output / params.group_outputs * params.channels + c;
  let begin = slice * params.slice_pixels;
  let end = min(params.pixels, begin + params.slice_pixels);
  var sum = 0.0;
  for (var p = begin; p < end; p++) {
    let ox = p % params.out_width;
    let oy = p / params.out_width % params.out_height;
    let image = p / (params.out_width * params.out_height);
    // Below zero wraps around to more than the height or the width.
    let iy = oy * params.stride_y + ky * params.dilation_y - params.top;
    let ix = ox * params.stride_x + kx * params.dilation_x - params.left;
    if (iy < params.height && ix < params.width) {
      let at = ((image * params.height + iy) * params.width + ix) * row_channels + channel;
      sum = fma(dy[p * params.outputs + output], x[at], sum);
    }
  }
  dw[index] = sum;
}
