// Brings a depthwise weight into the layout of depthwise.wgsl: channels last, in whole vec4.
//
//   forward:  turned[ky, kx, 0, o] = weight[o, ky, kx]
//   MIRRORED: turned[KH - 1 - ky, KW - 1 - kx, m, c] = weight[c * terms + m, ky, kx]
//
// Shapes: weight: f32[O, KH, KW]; turned: f32[KH, KW, terms, padded], 0 from outputs to padded.
//   Row-major. outputs is O forward and C when mirrored.
// Bindings: weight, turned. Dispatch: gridFor(count, 64), count = KH * KW * terms * padded, folded
//   from x into y.

struct Params {
  count: u32,
  taps: u32, // KH * KW
  terms: u32,
  outputs: u32,
  padded: u32,
  mirrored: u32,
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
  let output = index % params.padded;
  let term = index / params.padded % params.terms;
  var tap = index / (params.padded * params.terms);
  if (params.mirrored == 1u) {
    tap = params.taps - 1u - tap;
  }
  var value = 0.0;
  if (output < params.outputs) {
    value = weight[(output * params.terms + term) * params.taps + tap];
  }
  turned[index] = value;
}
