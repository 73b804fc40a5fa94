// Turns a weight for the gradient of the image: inputs and outputs of each group change places, and
// the taps are mirrored.
//
//   turned[g * C + c, KH - 1 - ky, KW - 1 - kx, o] = weight[g * O + o, ky, kx, c]
//
// Shapes: weight: f32[groups * O, KH, KW, C]; turned: f32[groups * C, KH, KW, padded], 0 for the
//   outputs from O to padded. Row-major. O and C are those of a group.
// Bindings: weight, turned. Dispatch: gridFor(count, 64), count = groups * C * KH * KW * padded,
//   folded from x into y.

struct Params {
  count: u32,
  taps: u32, // KH * KW
  channels: u32, // C
  outputs: u32, // O
  padded: u32,
}

@group(0) @binding(0) var<storage, read> weight: array<f32>;
@group(0) @binding(1) var<storage, read_write> turned: array<f32>;
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
  let o = index % params.padded;
  let tap = params.taps - 1u - index / params.padded % params.taps;
  let channel = index / (params.padded * params.taps);
  let output = channel / params.channels * params.outputs + o;
  var value = 0.0;
  if (o < params.outputs) {
    value = weight[(output * params.taps + tap) * params.channels + channel % params.channels];
  }
  turned[index] = value;
}
