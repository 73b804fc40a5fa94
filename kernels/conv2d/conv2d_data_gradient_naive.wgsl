// Gradient of a convolution's image, one element per invocation: the permanent baseline.
//
//   dx[n, iy, ix, g * C + c] = sum over ky, kx, o of group g, and the oy, ox with
//     oy * stride - top + ky * dilation = iy and ox * stride - left + kx * dilation = ix, of
//     dy[n, oy, ox, o] * weight[o, ky, kx, c]
//
// Shapes: dy: f32[N, OH, OW, O]; weight: f32[O, KH, KW, C]; dx: f32[N, H, W, groups * C]. Row-major.
// Bindings: dy, weight, dx.
// Dispatch: gridFor(count, 64), folded from x into y; count = N * H * W * groups * C.
// Accumulates in f32, in the order of ky, kx, o, for the outputs of the group from o_begin to o_end;
//   adds to dx when accumulate is 1.
// Variants: 1. naive (this), 2. conv2d_register.wgsl, 3. conv2d_tiled.wgsl, 4. depthwise.wgsl.

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
  o_begin: u32,
  o_end: u32,
  accumulate: u32,
}

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
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
  let row_channels = params.channels * (params.outputs / params.group_outputs);
  let channel = index % row_channels;
  let ix = index / row_channels % params.width;
  let iy = index / (row_channels * params.width) % params.height;
  let image = index / (row_channels * params.width * params.height);
  let first_output = channel / params.channels * params.group_outputs;
  let c = channel % params.channels;
  let weight_stride = params.kernel_height * params.kernel_width * params.channels;
  var sum = 0.0;
  if (params.accumulate == 1u) {
    sum = dx[index];
  }
  for (var ky = 0u; ky < params.kernel_height; ky++) {
    // Below zero wraps around to more than the strided height.
    let ty = iy + params.top - ky * params.dilation_y;
    let oy = ty / params.stride_y;
    if (ty % params.stride_y != 0u || oy >= params.out_height) {
      continue;
    }
    for (var kx = 0u; kx < params.kernel_width; kx++) {
      let tx = ix + params.left - kx * params.dilation_x;
      let ox = tx / params.stride_x;
      if (tx % params.stride_x != 0u || ox >= params.out_width) {
        continue;
      }
      let at = ((image * params.out_height + oy) * params.out_width + ox) * params.outputs;
      let w = (ky * params.kernel_width + kx) * params.channels + c;
      for (var o = params.o_begin; o < params.o_end; o++) {
        let output = first_output + o;
        sum = fma(dy[at + output], weight[output * weight_stride + w], sum);
      }
    }
  }
  dx[index] = sum;
}
