// Raises low elements and bends high ones down.
//
//   u = max(x, low)
//   y = u                                  for u < high
//   y = u / sqrt(1 + (u / high)^4) + low   else
//
// Shapes: x: f32[count] or more, y: f32[count] or more, as scalars (x, y) or as vec4 (x4, y4), where
// the others are spares. high > 0, high > low.
// Dispatch: gridFor(items, 64), items = count / 4 with VECTOR, else count; the grid folds x into y.
// One invocation per item.
// Numerics: f32, u taken as high (u / high). The quotient counts as 1e9 above that, so that its fourth
// power stays finite.
// Variants: scalars are the baseline, vec4 where count is a multiple of 4.
// Source: Yuan et al., "LHAct: rectifying extremely low and high activations for out-of-distribution
// detection", 2023.

override VECTOR: bool = true;

const WORKGROUP = 64u;

struct Params {
  items: u32,
  low: f32,
  high: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>; // !VECTOR
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>; // VECTOR
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // !VECTOR
@group(0) @binding(3) var<storage, read_write> y4: array<vec4<f32>>; // VECTOR
@group(1) @binding(0) var<uniform> params: Params;

fn shaped(v: vec4<f32>) -> vec4<f32> {
  let u = max(v, vec4<f32>(params.low));
  let ratio = min(u / params.high, vec4<f32>(1e9));
  let square = ratio * ratio;
  let bent = params.high * ratio / sqrt(1.0 + square * square) + params.low;
  return select(bent, u, u < vec4<f32>(params.high));
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  if (item >= params.items) {
    return;
  }
  if (VECTOR) {
    y4[item] = shaped(x4[item]);
  } else {
    y[item] = shaped(vec4<f32>(x[item])).x;
  }
}
