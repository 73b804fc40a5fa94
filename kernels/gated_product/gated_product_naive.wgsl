// A linear head whose weights are masked for each row by the gates of one class: the baseline. One
// number per invocation, scalar loads. Formula as in gated_product.wgsl.
//
// Shapes: x: f32[rows, channels], weight: f32[classes, channels], gates: f32[any, channels],
//   bounds: f32[any], index: u32[rows], bias: f32[classes], z: f32[rows, classes], row-major.
// Dispatch: gridFor(rows * classes, 64), folded from x into y. Accumulator: f32, in the order of c.

override GATED: u32 = 1u;

struct Params {
  rows: u32,
  classes: u32,
  channels: u32,
  has_bias: u32,
  clip: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> gates: array<f32>;
@group(0) @binding(3) var<storage, read> bounds: array<f32>;
@group(0) @binding(4) var<storage, read> index: array<u32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> z: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let at = (wid.y * grid.x + wid.x) * 64u + lane;
  if (at >= params.rows * params.classes) {
    return;
  }
  let row = at / params.classes;
  let class_index = at % params.classes;
  var sum = 0.0;
  for (var c = 0u; c < params.channels; c++) {
    let w = weight[class_index * params.channels + c];
    var keep = true;
    if (GATED == 1u) {
      let gate = gates[index[row] * params.channels + c];
      keep = gate >= 0.0 && w * gate > bounds[index[row]];
    }
    if (keep) {
      sum = fma(min(x[row * params.channels + c], params.clip), w, sum);
    }
  }
  if (params.has_bias == 1u) {
    sum += bias[class_index];
  }
  z[at] = sum;
}
